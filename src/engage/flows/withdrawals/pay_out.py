"""Pay withdrawals out: send each to the provider once, then ask about it until its outcome is known.

The decision to send is committed before anything is sent. After a crash in between nobody knows whether the
payout left, so nobody sends it again: the provider is asked. See docs/decisions/0006.
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

# Concurrent calls to a provider.
PAYOUTS_PER_BATCH = 16

# No new batch begins after this time, so that a worker's job ends within its limit.
TURN_S = 5.0

# A payout that could not be sent this soon after the commit is not sent: soon others ask about it.
SEND_WITHIN_S = 5.0


class PayoutCall(Struct, frozen=True):
    """A withdrawal as committed before the call: to send (`sending`), or to ask about."""

    withdrawal: Withdrawal
    sending: bool


async def pay_out_due(services: Services, *, now: datetime, on_time: bool = False) -> int:
    """Send and ask about the withdrawals that are due at `now` and not locked by others, for a limited time;
    return the count. Raises Unavailable.

    A clock that is advanced stops at each due time, so `now` is always on time.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + TURN_S
    total = 0
    while calls := await _claim_due(services, now, on_time=on_time):
        assert services.payouts is not None, "only a provider makes calls"
        await make_calls(services, services.payouts, calls, now=now)
        total += len(calls)
        if loop.time() > until:
            break
    return total


async def make_calls(
    services: Services, provider: PayoutProvider, calls: Sequence[PayoutCall], *, now: datetime
) -> int:
    """Make all calls at once and record their outcomes; return how many withdrawals closed.

    An outcome that cannot be recorded does not stop the others. Raises Unavailable.
    """
    send_by = asyncio.get_running_loop().time() + SEND_WITHIN_S
    results = await asyncio.gather(
        *(_make_call(services, provider, call, now, send_by) for call in calls), return_exceptions=True
    )
    for error in results:
        if isinstance(error, BaseException):
            raise error
    return results.count(True)


def payout_of(withdrawal: Withdrawal) -> Payout:
    """Describe a submitted withdrawal to its provider."""
    assert withdrawal.phone is not None
    assert withdrawal.submitted_at is not None
    return Payout(
        withdrawal.id,
        withdrawal.amount_minor,
        withdrawal.currency,
        withdrawal.phone,
        withdrawal.submitted_at,
    )


async def _claim_due(services: Services, now: datetime, *, on_time: bool) -> list[PayoutCall]:
    """Commit the calls of a batch that is due, so that nobody else makes them."""
    calls: list[PayoutCall] = []
    postponed: list[Withdrawal] = []
    async with transaction(services.db) as conn:
        # A batch of payouts for other providers is postponed, and the next batch is tried.
        while not calls and (
            due := await store.lock_due(
                conn, now=now, ahead=services.clock.ahead, on_time=on_time, limit=PAYOUTS_PER_BATCH
            )
        ):
            possible = [next_call(withdrawal, services.payouts, now) for withdrawal in due]
            calls = [call for call in possible if call is not None]
            postponed = [
                postpone(withdrawal, at=now)
                for withdrawal, call in zip(due, possible, strict=True)
                if call is None
            ]
            await store.write_withdrawals(conn, [*postponed, *(call.withdrawal for call in calls)])
    if postponed:
        log.warning("no provider here for these withdrawals", count=len(postponed))
    return calls


def next_call(withdrawal: Withdrawal, provider: PayoutProvider | None, now: datetime) -> PayoutCall | None:
    """Return the next call for a withdrawal, or None without a provider or if another one has it."""
    if provider is None or withdrawal.provider not in (None, provider.name):
        return None
    if withdrawal.state == "requested":
        return PayoutCall(submit(withdrawal, provider.name, at=now), sending=True)
    return PayoutCall(ask(withdrawal, at=now), sending=False)


async def _make_call(
    services: Services, provider: PayoutProvider, call: PayoutCall, now: datetime, send_by: float
) -> bool:
    """Return true if the withdrawal is closed."""
    payout = payout_of(call.withdrawal)
    if not call.sending:
        outcome = await provider.ask(payout, at=now)
    elif asyncio.get_running_loop().time() < send_by:
        outcome = await provider.send(payout, at=now)
    else:
        return False  # The next inquiry finds that it never arrived.
    return (await record_outcome(services, call.withdrawal, outcome, now=now)).closed


async def record_outcome(
    services: Services, withdrawal: Withdrawal, outcome: Outcome, *, now: datetime
) -> Withdrawal:
    """Record a provider's answer. Raises Unavailable; the provider is then asked again."""
    after = await change_withdrawal(
        services, withdrawal.id, lambda known: domain.record_outcome(known, outcome, at=now), now=now
    )
    event_log = log.bind(id=str(after.id), program=after.program_id, state=after.state)
    if isinstance(outcome, Paid) and after.state == "failed":
        event_log.error("withdrawal paid after its points were released", failure=after.failure)
    else:
        event_log.info("payout outcome", outcome=type(outcome).__name__, failure=after.failure)
    return after
