"""Run PostgreSQL, Valkey and engage's own processes on this machine, from the programs in Python wheels.

Used by `engage up`, commands on a data folder, tests and `engage bench`. Imports settings and the sandbox's
secrets only; nothing of the domain, the flows or the API.
"""
