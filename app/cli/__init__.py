"""The command line: thin commands over the rooms, and the processes that `up` and `demo` start."""
