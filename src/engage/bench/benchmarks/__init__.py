"""One module a benchmark: `run` measures in an environment and returns figures.

May import all other packages of `engage.bench`. The table of benchmarks is `engage.bench.suite`.
"""
