"""arq: the worker's settings and its jobs. A job calls a flow and nothing more."""
