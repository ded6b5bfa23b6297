"""Practice partners: real servers on real sockets that remember what they are told and misbehave to order.

For tests, load runs and demonstrations. Nothing of the service imports this room.
"""
