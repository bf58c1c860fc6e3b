"""The checks: pure functions on observations, by what they look at."""
