"""One file per partner protocol, and the contract that they all pass.

An adapter gets a batch and gives one answer per order. It touches no database, clock, log or retry.
"""
