"""Real servers on this machine, from wheels: for `engage up`, commands on its folder, tests and `bench`."""
