"""Wait for an effect of a real server."""

import asyncio
from collections.abc import Callable

WITHIN_S = 60.0  # A guard against hanging, not a tested limit.
LOOK_AGAIN_S = 0.01


async def eventually(holds: Callable[[], bool], within_s: float = WITHIN_S) -> None:
    """Raises TimeoutError when the condition does not come to hold."""
    async with asyncio.timeout(within_s):
        while not holds():
            await asyncio.sleep(LOOK_AGAIN_S)
