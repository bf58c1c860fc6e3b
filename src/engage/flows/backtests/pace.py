"""The pace of long computations in a process that does other work too."""

import asyncio
from typing import Final

# The event loop gets its turn after each slice. What waits for it, such as a settlement, has a few turns to
# wait for, so a slice is a small part of the 50 ms that it may wait.
SLICE_S: Final = 0.004


class Pace:
    """Lets others work from time to time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()

    async def step(self) -> None:
        """Comes after each small piece of work."""
        if self._loop.time() - self._since >= SLICE_S:
            await asyncio.sleep(0)
            self._since = self._loop.time()
