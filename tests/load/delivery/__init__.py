"""Figures of the delivery engine, each beside its floor in one run: real workers, a real PostgreSQL, real sockets."""
