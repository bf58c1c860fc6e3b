"""What we have of payouts is compared with what the provider has, once a day, and told where it differs.

What is open is asked about once more, however long the pause that it had come to. What has ended is asked
about once; what differed, and what had never arrived, again for a week: it may have been on its way.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import structlog
from msgspec import Struct

from engage.domain.withdrawals.withdrawal import Unclear, Withdrawal, difference
from engage.flows.withdrawals.pay_out import PAYOUTS_PER_BATCH, call, payout_of, turn_of
from engage.payouts.port import PayoutProvider
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.store.withdrawals import withdrawals as store

log = structlog.get_logger()

AGAIN_AFTER = timedelta(hours=12)
MAY_CHANGE_FOR = timedelta(days=7)
OVERDUE_AFTER = timedelta(days=1)
ROWS_TOLD = 1_000

# The calls that are under way at the end of a turn have to end before a worker's job does.
TURN_S = 5.0

_FIRST = UUID(int=0)


class PayoutDifference(Struct, frozen=True):
    """A withdrawal that the provider reports differently; `description` is one line."""

    withdrawal: Withdrawal
    description: str


class Reconciliation(Struct, frozen=True):
    """How many were `asked` about, and `ended` by that; how many were `compared`, or could not be.

    `differences` are all that there are of the last week, and what has been open for more than a day.
    """

    asked: int
    ended: int
    compared: int
    unanswered: int
    differences: list[PayoutDifference]


async def reconcile(services: Services, *, turn_s: float | None = None) -> Reconciliation:
    """Asks and compares, for no longer than a turn where that is given; what is left is for the next one.

    Raises Unavailable.
    """
    loop = asyncio.get_running_loop()
    until = float("inf") if turn_s is None else loop.time() + turn_s
    asked = ended = compared = unanswered = 0
    if services.payouts is not None:
        asked, ended = await _ask_open(services, services.payouts, until)
        compared, unanswered = await _compare(services, services.payouts, until)
    return Reconciliation(asked, ended, compared, unanswered, await read_differences(services))


async def reconcile_in_turn(services: Services) -> Reconciliation:
    """A turn of it, as workers take them, and what differs in the log. Raises Unavailable."""
    found = await reconcile(services, turn_s=TURN_S)
    for one in found.differences:
        log.error("a payout differs", id=str(one.withdrawal.id), difference=one.description)
    log.info(
        "payouts reconciled",
        asked=found.asked,
        ended=found.ended,
        compared=found.compared,
        unanswered=found.unanswered,
        differences=len(found.differences),
    )
    return found


async def read_differences(services: Services) -> list[PayoutDifference]:
    """Those that are known. Raises Unavailable."""
    now = services.clock.now()
    async with transaction(services.db) as conn:
        different = await store.read_different(conn, since=now - MAY_CHANGE_FOR, limit=ROWS_TOLD)
        overdue = await store.read_overdue(conn, before=now - OVERDUE_AFTER, limit=ROWS_TOLD)
    return [
        *(PayoutDifference(withdrawal, said) for withdrawal, said in different),
        *(PayoutDifference(one, f"{one.state} for more than a day") for one in overdue),
    ]


async def _ask_open(services: Services, provider: PayoutProvider, until: float) -> tuple[int, int]:
    """(how many were asked about, how many have ended)"""
    asked = ended = 0
    after = _FIRST
    while asyncio.get_running_loop().time() < until:
        now = services.clock.now()
        async with transaction(services.db) as conn:
            page = await store.lock_open(conn, now=now, after=after, limit=PAYOUTS_PER_BATCH)
            turns = [turn for one in page if (turn := turn_of(one, provider, now)) is not None]
            await store.write_withdrawals(conn, [turn.withdrawal for turn in turns])
        if not page:
            break
        after = page[-1].id
        ended += await call(services, provider, turns, now=now)
        asked += len(turns)
    return asked, ended


async def _compare(services: Services, provider: PayoutProvider, until: float) -> tuple[int, int]:
    """(how many were compared, how many could not be). Where the provider says nothing, it is left alone."""
    compared = unanswered = 0
    while asyncio.get_running_loop().time() < until and not unanswered:
        now = services.clock.now()
        async with transaction(services.db) as conn:
            page = await store.read_uncompared(
                conn,
                provider.name,
                since=now - MAY_CHANGE_FOR,
                again_before=now - AGAIN_AFTER,
                limit=PAYOUTS_PER_BATCH,
            )
        if not page:
            break
        said = await _answers(services, provider, page)
        async with transaction(services.db) as conn:
            await store.write_compared(conn, said, now=now)
        compared += len(said)
        unanswered += len(page) - len(said)
    return compared, unanswered


async def _answers(
    services: Services, provider: PayoutProvider, page: Sequence[Withdrawal]
) -> list[tuple[Withdrawal, str | None]]:
    """Each that the provider says something of, with the difference."""
    now = services.clock.now()
    outcomes = await asyncio.gather(*(provider.ask(payout_of(one), at=now) for one in page))
    return [
        (one, difference(one, outcome))
        for one, outcome in zip(page, outcomes, strict=True)
        if not isinstance(outcome, Unclear)
    ]
