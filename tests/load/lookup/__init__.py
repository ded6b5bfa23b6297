"""Figures of the look-up, each beside its floor in one run: the real web process, a real PostgreSQL, real sockets."""
