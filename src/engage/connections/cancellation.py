"""The end of tasks that use clients of servers.

Such a client can swallow a cancellation, or make another error of it, while it connects. A task that goes on
after any error then never ends.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

AGAIN_S: Final = 1.0


async def cancel_all(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks, again those that go on, and wait until all have ended, whatever their outcome."""
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=AGAIN_S)
