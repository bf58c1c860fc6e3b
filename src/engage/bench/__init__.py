"""Benchmarks of engage on this machine, with real servers and processes: `engage bench`.

`benchmarks` measures, against `baselines`, with the load of `clients`, on what `setup` starts and fills. Only
the command line imports this package; it may import everything else.
"""
