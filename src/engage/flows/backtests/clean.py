"""Delete what is not needed any more of backtests that have ended, and those that are old."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.store.backtests import gains, jobs, parts

# Results, and what members would have gained.
KEPT: Final = timedelta(days=400)

ROWS_PER_BATCH: Final = 1_000


async def clean_backtests(services: Services, *, now: datetime, on_time: bool = False) -> int:
    """Delete the parts of backtests that have ended, and backtests that ended KEPT ago with all that belongs
    to them; how many rows. Raises Unavailable.
    """
    if on_time:
        return 0
    before = now - KEPT
    return (
        await _in_batches(services, parts.delete_ended)
        + await _in_batches(services, partial(gains.delete_old, before=before))
        + await _in_batches(services, partial(jobs.delete_old, before=before))
    )


async def _in_batches(services: Services, delete: Callable[..., Awaitable[int]]) -> int:
    total, deleted = 0, ROWS_PER_BATCH
    while deleted == ROWS_PER_BATCH:
        async with transaction(services.db) as conn:
            deleted = await delete(conn, limit=ROWS_PER_BATCH)
        total += deleted
    return total
