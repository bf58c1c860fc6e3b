"""Everything a benchmark needs before it measures: servers, processes, members, points, child programs.

`child_program` and `constants` are also imported by clients and baselines, which run as child processes.
"""
