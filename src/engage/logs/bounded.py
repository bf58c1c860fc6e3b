"""A log of what callers can cause, with a bound."""

import time
from collections.abc import Callable
from typing import Final, Literal

import structlog

LINES_PER_S: Final = 2
BURST: Final = 200

Level = Literal["info", "warning", "error"]


class BoundedLog:
    """A log of what callers can cause, so that none can fill the disk: `burst` lines at once, and then
    `lines_per_s`. The next line that is written counts those left out.
    """

    def __init__(
        self,
        name: str,
        *,
        burst: int = BURST,
        lines_per_s: float = LINES_PER_S,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = structlog.get_logger(name)
        self._burst = burst
        self._lines_per_s = lines_per_s
        self._now = now
        self._left = float(burst)
        self._at = now()
        self._left_out = 0

    def write(self, level: Level, event: str, **facts: object) -> None:
        now = self._now()
        self._left = min(self._left + (now - self._at) * self._lines_per_s, self._burst)
        self._at = now
        if self._left < 1:
            self._left_out += 1
            return
        self._left -= 1
        if self._left_out:
            facts["left_out_before"], self._left_out = self._left_out, 0
        getattr(self._log, level)(event, **facts)
