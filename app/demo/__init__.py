"""The Paris night, played from start to end on one machine: real processes, real sockets, and its own oracle.

Whatever the gateway says of itself is held against what the generator of the goods knows.
"""
