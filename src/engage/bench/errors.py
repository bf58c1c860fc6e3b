"""Expected failures of a benchmark."""


class BenchmarkFailed(Exception):
    """The message is shown instead of figures."""
