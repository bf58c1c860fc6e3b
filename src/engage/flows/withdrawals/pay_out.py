"""Withdrawals are paid out: sent to the provider once each, and asked about until it is known how they ended.

Before anything is sent it is committed that it will be. Whoever dies in between has sent it or has not, and
nobody sends it again: the provider is asked. Why: docs/decisions/0006.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime

import structlog
from msgspec import Struct

from engage.domain.withdrawals import withdrawal as domain
from engage.domain.withdrawals.withdrawal import Outcome, Paid, Withdrawal, ask, postpone, submit
from engage.flows.withdrawals.outcome import change_withdrawal
from engage.payouts.port import Payout, PayoutProvider
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.store.withdrawals import withdrawals as store

log = structlog.get_logger()

# As many as a provider is called for at a time.
PAYOUTS_PER_BATCH = 16

# A worker's job has to end in time: a turn, and the calls of a batch that began at its end.
TURN_S = 5.0

# What could not be sent this soon after the commit is not sent at all: others are about to ask for it.
SEND_WITHIN_S = 5.0


class PayoutCall(Struct, frozen=True):
    """A withdrawal whose turn it is, as it was committed: to be sent, or else to be asked about."""

    withdrawal: Withdrawal
    sending: bool


async def pay_out_due(services: Services, *, now: datetime, on_time: bool = False) -> int:
    """Sends and asks about what is due at `now` and nobody else has in hand, for as long as a turn may take;
    how many.

    A clock that travels stops at each of their times, so `now` is on time. Raises Unavailable.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + TURN_S
    total = 0
    while turns := await _claim(services, now):
        assert services.payouts is not None, "without a provider it is nobody's turn"
        await call(services, services.payouts, turns, now=now)
        total += len(turns)
        if loop.time() > until:
            break
    return total


async def call(
    services: Services, provider: PayoutProvider, turns: Sequence[PayoutCall], *, now: datetime
) -> int:
    """Sends or asks about each of these, all at once, and keeps what is heard; how many have ended.

    One whose answer cannot be kept does not keep the others' from being heard. Raises Unavailable.
    """
    send_by = asyncio.get_running_loop().time() + SEND_WITHIN_S
    calls = (_call(services, provider, turn, now, send_by) for turn in turns)
    done = await asyncio.gather(*calls, return_exceptions=True)
    for error in done:
        if isinstance(error, BaseException):
            raise error
    return done.count(True)


def payout_of(withdrawal: Withdrawal) -> Payout:
    """What its provider is told of one that is or was submitted."""
    assert withdrawal.phone is not None
    assert withdrawal.submitted_at is not None
    return Payout(
        withdrawal.id,
        withdrawal.amount_minor,
        withdrawal.currency,
        withdrawal.phone,
        withdrawal.submitted_at,
    )


async def _claim(services: Services, now: datetime) -> list[PayoutCall]:
    """A batch of what is due. When this returns it is committed that their turn has come."""
    turns: list[PayoutCall] = []
    postponed: list[Withdrawal] = []
    async with transaction(services.db) as conn:
        # Only what can be called for is left when there is something: a batch of others is not the end.
        while not turns and (due := await store.lock_due(conn, now=now, limit=PAYOUTS_PER_BATCH)):
            ready = [turn_of(one, services.payouts, now) for one in due]
            turns = [turn for turn in ready if turn is not None]
            postponed = [postpone(one, at=now) for one, turn in zip(due, ready, strict=True) if turn is None]
            await store.write_withdrawals(conn, [*postponed, *(turn.withdrawal for turn in turns)])
    if postponed:
        log.warning("nobody here can pay these withdrawals out", count=len(postponed))
    return turns


def turn_of(withdrawal: Withdrawal, provider: PayoutProvider | None, now: datetime) -> PayoutCall | None:
    """None where the provider here is none, or another than the one that it was sent to."""
    if provider is None or withdrawal.provider not in (None, provider.name):
        return None
    if withdrawal.state == "requested":
        return PayoutCall(submit(withdrawal, provider.name, at=now), sending=True)
    return PayoutCall(ask(withdrawal, at=now), sending=False)


async def _call(
    services: Services, provider: PayoutProvider, turn: PayoutCall, now: datetime, send_by: float
) -> bool:
    """Whether it has ended."""
    payout = payout_of(turn.withdrawal)
    if not turn.sending:
        outcome = await provider.ask(payout, at=now)
    elif asyncio.get_running_loop().time() < send_by:
        outcome = await provider.send(payout, at=now)
    else:
        return False  # The next inquiry finds that it never arrived.
    return (await record_outcome(services, turn.withdrawal, outcome, now=now)).closed


async def record_outcome(
    services: Services, withdrawal: Withdrawal, outcome: Outcome, *, now: datetime
) -> Withdrawal:
    """Keeps what was heard. Raises Unavailable; the provider is asked again then."""
    after = await change_withdrawal(
        services, withdrawal.id, lambda known: domain.record_outcome(known, outcome, at=now), now=now
    )
    told = log.bind(id=str(after.id), program=after.program_id, state=after.state)
    if isinstance(outcome, Paid) and after.state == "failed":
        told.error("a withdrawal was paid whose points had gone back", failure=after.failure)
    else:
        told.info("heard of a withdrawal", outcome=type(outcome).__name__, failure=after.failure)
    return after
