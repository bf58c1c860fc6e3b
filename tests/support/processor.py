"""Bounds on the work that something takes. Other processes that keep a machine busy do not count."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def processor_seconds(at_most: float) -> Iterator[None]:
    """Bound the time of processors that this process uses in the block."""
    begun = time.process_time()
    yield
    assert time.process_time() - begun < at_most
