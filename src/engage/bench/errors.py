"""What keeps a benchmark from giving figures."""


class BenchmarkFailed(Exception):
    """Told as it is, in place of the figures."""
