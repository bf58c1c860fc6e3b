"""The rate of requests of all members together."""

import asyncio
import time


class Pace:
    """Gives turns at most `per_s` times a second."""

    def __init__(self, per_s: float) -> None:
        self._interval_s = 1 / per_s
        self._next = 0.0

    async def turn(self) -> None:
        now = time.monotonic()
        self._next = max(self._next + self._interval_s, now)
        await asyncio.sleep(self._next - now)
