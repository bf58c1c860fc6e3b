"""The scales of charts."""

from collections.abc import Iterable
from typing import Final

_STEPS: Final = (1, 2, 3, 5, 10)


def axis_end(values: Iterable[int]) -> int:
    """The end of an axis that has room for all values, of either sign: 1, 2, 3 or 5 times a power of ten."""
    largest = max((abs(value) for value in values), default=0)
    power = 10 ** (len(str(largest)) - 1)
    return next(step * power for step in _STEPS if step * power >= largest) or 1
