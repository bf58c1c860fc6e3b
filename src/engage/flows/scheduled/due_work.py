"""Everything that falls due at some time, in one table: workers, sweep and the sandbox's clock walk it.

A kind of work that is new gets a row here, and is then done in time and when the clock travels.
"""

from datetime import UTC, datetime
from typing import Protocol

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.flows.checkout.close_holds import release_overdue
from engage.flows.rewards.catalogue import expire_coupons
from engage.flows.scheduled.expire import expire_due, expire_together
from engage.flows.scheduled.settle import settle_due
from engage.flows.withdrawals.pay_out import pay_out_due
from engage.ledger.expire import next_expiration
from engage.ledger.holds import next_hold_end
from engage.ledger.settle import next_settlement
from engage.runtime.services import Services
from engage.store.rewards.coupons import next_coupon_end
from engage.store.withdrawals.withdrawals import next_payout

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class NextAt(Protocol):
    async def __call__(self, conn: AsyncConnection, *, after: datetime) -> datetime | None:
        """The first time later than `after` at which some of it that is not done falls due, or None."""


class Do(Protocol):
    async def __call__(self, services: Services, *, now: datetime, on_time: bool) -> int:
        """Does all that is due at `now` and that nobody else has in hand; how many.

        What it writes is of `now`, or with `on_time` of the time at which each fell due. Raises Unavailable.
        """


class Together(Protocol):
    async def __call__(self, services: Services) -> int:
        """Does what is due now, for as long as a worker's turn may take, asking others to join in where it
        is much; how many. Raises Unavailable.
        """


class Work(Struct, frozen=True, kw_only=True):
    """A kind of work that falls due.

    `any_order`: one call may do what fell due at many different times, and comes to the same as doing each
    in its turn. Otherwise a travelling clock stops at each of its times, with all the rest done until then.
    `together`: how workers do it, where there can be more than one of them does in time.
    """

    name: str
    next_at: NextAt
    do: Do
    any_order: bool = False
    together: Together | None = None


# What falls due at one and the same instant is done in this order: points come before they go.
DUE_WORK = (
    Work(name="settle", next_at=next_settlement, do=settle_due, any_order=True),
    Work(name="expire", next_at=next_expiration, do=expire_due, any_order=True, together=expire_together),
    Work(name="holds", next_at=next_hold_end, do=release_overdue),
    Work(name="coupons", next_at=next_coupon_end, do=expire_coupons, any_order=True),
    Work(name="pay_out", next_at=next_payout, do=pay_out_due),
)


async def do_due(services: Services, *, now: datetime, on_time: bool = False) -> int:
    """Does all work of all kinds that is due at `now`, one kind after the other, as each kind's `do` does it;
    how many. Raises Unavailable.
    """
    return sum([await work.do(services, now=now, on_time=on_time) for work in DUE_WORK])


async def is_left(conn: AsyncConnection, *, now: datetime) -> bool:
    """Whether something that is due at `now` is not done, be it that a worker has it in hand."""
    for work in DUE_WORK:
        first = await work.next_at(conn, after=LONG_AGO)
        if first is not None and first <= now:
            return True
    return False
