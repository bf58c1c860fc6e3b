"""The due work of backtests: what is kept for a while only.

Their steps are not here. A sweep runs on one worker, and all workers share a backtest
(`engage.flows.backtests.work`).
"""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from engage.flows.backtests.clean import clean_backtests
from engage.runtime.due_work import DueWork


async def _never(conn: AsyncConnection, *, after: datetime) -> None:
    """Workers delete when they sweep; a clock that is advanced does not wait for it."""


DUE_WORK = (DueWork(name="clean_backtests", next_at=_never, do=clean_backtests, any_order=True),)
