"""Sessions in containers: which image a cell needs, what an engine says of it, and a worker that runs in one."""
