"""Compare withdrawals with the provider's payouts, once a day, and report differences.

Open withdrawals are asked about, however long the current pause between inquiries. Closed ones are compared
once; those that differed or had not been received are compared again for a week, as they may have been on
their way.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import structlog
from msgspec import Struct

from engage.domain.withdrawals.withdrawal import Unclear, Withdrawal, difference
from engage.flows.withdrawals.pay_out import PAYOUTS_PER_BATCH, make_calls, next_call, payout_of
from engage.payouts.port import PayoutProvider
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.store.withdrawals import reconciliation
from engage.store.withdrawals import withdrawals as store

log = structlog.get_logger()

AGAIN_AFTER = timedelta(hours=12)
MAY_CHANGE_FOR = timedelta(days=7)
OVERDUE_AFTER = timedelta(days=1)
DIFFERENCES_SHOWN = 1_000

# No new batch begins after this time, so that a worker's job ends within its limit.
TURN_S = 5.0

_FIRST = UUID(int=0)


class PayoutDifference(Struct, frozen=True):
    """A withdrawal that the provider reports differently; `description` is one line."""

    withdrawal: Withdrawal
    description: str


class Reconciliation(Struct, frozen=True):
    """Counts of open withdrawals `asked` about and `closed` by that, of closed ones `compared`, and of those
    the provider gave no answer about.

    `differences` are those of the last week, and withdrawals open for more than a day.
    """

    asked: int
    closed: int
    compared: int
    unanswered: int
    differences: list[PayoutDifference]


async def reconcile(services: Services, *, turn_s: float | None = None) -> Reconciliation:
    """Ask about open withdrawals and compare closed ones, for at most about `turn_s` seconds if given; the
    next run continues. Raises Unavailable.
    """
    loop = asyncio.get_running_loop()
    until = float("inf") if turn_s is None else loop.time() + turn_s
    asked = closed = compared = unanswered = 0
    if services.payouts is not None:
        asked, closed = await _ask_open(services, services.payouts, until)
        compared, unanswered = await _compare(services, services.payouts, until)
    return Reconciliation(asked, closed, compared, unanswered, await read_differences(services))


async def reconcile_in_turn(services: Services) -> Reconciliation:
    """Reconcile for the time of a worker's job, and log the differences. Raises Unavailable."""
    result = await reconcile(services, turn_s=TURN_S)
    for item in result.differences:
        log.error("payout differs", id=str(item.withdrawal.id), difference=item.description)
    log.info(
        "payouts reconciled",
        asked=result.asked,
        closed=result.closed,
        compared=result.compared,
        unanswered=result.unanswered,
        differences=len(result.differences),
    )
    return result


async def read_differences(services: Services) -> list[PayoutDifference]:
    """Read the differences found so far. Raises Unavailable."""
    now = services.clock.now()
    async with transaction(services.db) as conn:
        different = await reconciliation.read_different(
            conn, since=now - MAY_CHANGE_FOR, limit=DIFFERENCES_SHOWN
        )
        overdue = await reconciliation.read_overdue(conn, before=now - OVERDUE_AFTER, limit=DIFFERENCES_SHOWN)
    return [
        *(PayoutDifference(withdrawal, description) for withdrawal, description in different),
        *(PayoutDifference(withdrawal, f"{withdrawal.state} for more than a day") for withdrawal in overdue),
    ]


async def _ask_open(services: Services, provider: PayoutProvider, until: float) -> tuple[int, int]:
    """Return (withdrawals asked about, withdrawals closed)."""
    asked = closed = 0
    after = _FIRST
    while asyncio.get_running_loop().time() < until:
        now = services.clock.now()
        async with transaction(services.db) as conn:
            page = await store.lock_open(conn, now=now, after=after, limit=PAYOUTS_PER_BATCH)
            possible = [next_call(withdrawal, provider, now) for withdrawal in page]
            calls = [call for call in possible if call is not None]
            await store.write_withdrawals(conn, [call.withdrawal for call in calls])
        if not page:
            break
        after = page[-1].id
        closed += await make_calls(services, provider, calls, now=now)
        asked += len(calls)
    return asked, closed


async def _compare(services: Services, provider: PayoutProvider, until: float) -> tuple[int, int]:
    """Return (withdrawals compared, withdrawals without an answer). Stop after the first gap."""
    compared = unanswered = 0
    while asyncio.get_running_loop().time() < until and not unanswered:
        now = services.clock.now()
        async with transaction(services.db) as conn:
            page = await reconciliation.read_uncompared(
                conn,
                provider.name,
                since=now - MAY_CHANGE_FOR,
                again_before=now - AGAIN_AFTER,
                limit=PAYOUTS_PER_BATCH,
            )
        if not page:
            break
        answered = await _differences(services, provider, page)
        async with transaction(services.db) as conn:
            await reconciliation.write_compared(conn, answered, now=now)
        compared += len(answered)
        unanswered += len(page) - len(answered)
    return compared, unanswered


async def _differences(
    services: Services, provider: PayoutProvider, page: Sequence[Withdrawal]
) -> list[tuple[Withdrawal, str | None]]:
    """Return the withdrawals that the provider answered for, each with its difference or None."""
    now = services.clock.now()
    outcomes = await asyncio.gather(*(provider.ask(payout_of(withdrawal), at=now) for withdrawal in page))
    return [
        (withdrawal, difference(withdrawal, outcome))
        for withdrawal, outcome in zip(page, outcomes, strict=True)
        if not isinstance(outcome, Unclear)
    ]
