"""All kinds of due work. Workers, the sweep and the sandbox's clock walk this one table.

A feature adds its own `DUE_WORK` here. Its work is then done on time, also when the clock is advanced.
"""

from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from engage.flows.activities.due_work import DUE_WORK as ACTIVITIES
from engage.flows.backtests.due_work import DUE_WORK as BACKTESTS
from engage.flows.campaigns.due_work import DUE_WORK as CAMPAIGNS
from engage.flows.checkout.due_work import DUE_WORK as CHECKOUT
from engage.flows.draws.due_work import DUE_WORK as DRAWS
from engage.flows.games.due_work import DUE_WORK as GAMES
from engage.flows.leaderboards.due_work import DUE_WORK as LEADERBOARDS
from engage.flows.protection.due_work import DUE_WORK as PROTECTION
from engage.flows.referrals.due_work import DUE_WORK as REFERRALS
from engage.flows.rewards.due_work import DUE_WORK as REWARDS
from engage.flows.scheduled.expire import expire_due, expire_together
from engage.flows.scheduled.reactions import REACT
from engage.flows.scheduled.settle import settle_due
from engage.flows.tiers.due_work import DUE_WORK as TIERS
from engage.flows.withdrawals.due_work import DUE_WORK as WITHDRAWALS
from engage.ledger.expire import next_expiration
from engage.ledger.settle import next_settlement
from engage.runtime.due_work import DueWork
from engage.runtime.services import Services

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

# Work that falls due at the same instant is done in this order: points are activated before they are taken,
# and what follows from all of it comes last.
DUE_WORK = (
    DueWork(name="settle", next_at=next_settlement, do=settle_due, any_order=True),
    DueWork(name="expire", next_at=next_expiration, do=expire_due, any_order=True, together=expire_together),
    *ACTIVITIES,
    *CHECKOUT,
    *REWARDS,
    *REFERRALS,
    *PROTECTION,
    *DRAWS,
    *WITHDRAWALS,
    *GAMES,
    *TIERS,
    *LEADERBOARDS,
    *CAMPAIGNS,
    *BACKTESTS,
    REACT,
)


async def run_due_work(services: Services, *, now: datetime, on_time: bool = False) -> int:
    """Do all work that is due at `now`, one kind after the other; return the count. Raises Unavailable."""
    return sum([await work.do(services, now=now, on_time=on_time) for work in DUE_WORK])


async def is_work_left(conn: AsyncConnection, *, now: datetime) -> bool:
    """Return true if work due at `now` is not done yet, also if a worker is doing it."""
    for work in DUE_WORK:
        first = await work.next_at(conn, after=LONG_AGO)
        if first is not None and first <= now:
            return True
    return False
