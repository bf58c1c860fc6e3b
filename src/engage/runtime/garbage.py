"""The garbage collector of a process that serves. It only has to find cycles, and few objects are in one."""

import gc
from typing import Final

# With Python's own threshold of 700 new objects it took a fifth of the time of a tap, and a third of that of
# an event about an order.
COLLECT_AFTER: Final = (50_000, 20, 20)


def collect_rarely() -> None:
    """Exclude everything loaded so far from collections, and collect more rarely.

    A full collection of all that is loaded stops a process for a fifth of a second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
