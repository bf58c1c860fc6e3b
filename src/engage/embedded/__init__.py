"""Real servers on this machine, from wheels: for `engage up`, for commands on its folder, tests and benchmarks."""
