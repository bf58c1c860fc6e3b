"""Money is paid at most once, and points leave exactly then, whatever providers do and whichever workers die.

Steps are drawn: withdrawals; workers, alone and together; a provider that accepts, declines, times out before
or after it accepted, stays silent or cannot be reached; workers that die before and after the call; time. In
the end the provider answers, and every withdrawal is closed.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import count
from typing import Literal
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from msgspec import Struct
from redis.asyncio import Redis

from engage.domain.refusals import Refusal
from engage.domain.withdrawals.withdrawal import (
    Accepted,
    Declined,
    NotReceived,
    NotSent,
    Outcome,
    Paid,
    Unclear,
)
from engage.flows.withdrawals.pay_out import pay_out_due
from engage.flows.withdrawals.reconcile import reconcile
from engage.flows.withdrawals.withdraw import withdraw
from engage.payouts.port import Payout
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.audit import assert_audit_is_clean
from tests.support.blocking import BlockingServices, blocking
from tests.support.clock import advance
from tests.support.database import rows
from tests.support.generated_cases import cases
from tests.support.withdrawals import OPEN, PROGRAM, balance, join, services_with_withdrawals

EXAMPLES = 20
POINTS = 100
UNCAPPED = "\n".join(line for line in OPEN.splitlines() if not line.startswith(("min_", "max_")))

Sending = Literal["takes", "declines", "loses", "takes_silently", "is_away", "dies_before", "dies_after"]
Status = Literal["answers", "is_silent", "dies"]

_numbers = count(1)


class WorkerDied(Exception):
    pass


class UnreliableProvider:
    """A provider with drawn answers. `decide` pays or declines what it has accepted."""

    name = "unreliable"

    def __init__(self) -> None:
        self.sendings: list[Sending] = []
        self.status: Status = "answers"
        self.arrived: Counter[UUID] = Counter()
        self.open: list[Payout] = []
        self.ends: dict[UUID, Outcome] = {}

    async def send(self, payout: Payout, *, at: datetime) -> Outcome:
        sending: Sending = self.sendings.pop() if self.sendings else "takes"
        await asyncio.sleep(0)
        if sending == "dies_before":
            raise WorkerDied
        if sending == "is_away":
            return NotSent("ConnectError")
        if sending == "loses":
            return Unclear("ReadTimeout")
        self.arrived[payout.reference] += 1
        if sending == "declines":
            self.ends[payout.reference] = Declined("payee_not_found")
            return self.ends[payout.reference]
        self.open.append(payout)
        if sending == "dies_after":
            raise WorkerDied
        return Unclear("ReadTimeout") if sending == "takes_silently" else Accepted()

    async def ask(self, payout: Payout, *, at: datetime) -> Outcome:
        await asyncio.sleep(0)
        match self.status:
            case "dies":
                raise WorkerDied
            case "is_silent":
                return Unclear("status 503")
        if payout.reference in {accepted.reference for accepted in self.open}:
            return Accepted()
        return self.ends.get(payout.reference, NotReceived())

    async def close(self) -> None:
        return

    def decide(self, *, pays: bool) -> None:
        """Pay or decline every open payout."""
        for payout in self.open:
            paid = Paid("f-1", payout.amount_minor, payout.currency)
            self.ends[payout.reference] = paid if pays else Declined("not_allowed")
        self.open.clear()

    @property
    def paid(self) -> set[UUID]:
        return {reference for reference, end in self.ends.items() if isinstance(end, Paid)}


class Withdraw(Struct, frozen=True):
    points: int


class Work(Struct, frozen=True):
    """Concurrent workers pay out what is due."""

    workers: int
    sendings: tuple[Sending, ...] = ()
    status: Status = "answers"


class Wait(Struct, frozen=True):
    minutes: int


class Decide(Struct, frozen=True):
    pays: bool


Step = Withdraw | Work | Wait | Decide


SENDINGS: list[Sending] = [
    "takes",
    "declines",
    "loses",
    "takes_silently",
    "is_away",
    "dies_before",
    "dies_after",
]
STATUSES: list[Status] = ["answers", "answers", "is_silent", "dies"]

withdrawals = st.builds(Withdraw, st.integers(1, 30))
work = st.builds(
    Work,
    st.integers(1, 3),
    st.lists(st.sampled_from(SENDINGS), min_size=3, max_size=3).map(tuple),
    st.sampled_from(STATUSES),
)
waits = st.builds(Wait, st.sampled_from([1, 20, 61, 24 * 60]))
decisions = st.builds(Decide, st.booleans())
# A few withdrawals, with work, time and decisions between them.
scenarios = st.lists(
    st.tuples(withdrawals, withdrawals, work, waits, decisions, work, waits).map(list), min_size=1, max_size=4
).map(lambda rounds: [step for steps in rounds for step in steps])


@pytest.fixture
def provider() -> UnreliableProvider:
    return UnreliableProvider()


@pytest.fixture
def services(
    own_database: Settings, valkey: Redis, provider: UnreliableProvider
) -> Iterator[BlockingServices]:
    with blocking(services_with_withdrawals(own_database, provider, withdrawal=UNCAPPED)) as opened:
        yield opened


def test_money_is_paid_once_and_points_leave_exactly_then(
    services: BlockingServices, provider: UnreliableProvider
) -> None:
    @given(scenarios)
    @hypothesis_settings(max_examples=cases(EXAMPLES), suppress_health_check=list(HealthCheck))
    def play(steps: list[Step]) -> None:
        services.run(_play(services.services, provider, steps))

    play()


async def _play(services: Services, provider: UnreliableProvider, steps: list[Step]) -> None:
    member_id = f"m-{next(_numbers)}"
    await join(services, member_id)
    for step in steps:
        match step:
            case Withdraw(points=points):
                with suppress(Refusal):  # What is held already cannot be withdrawn again.
                    await withdraw(services, PROGRAM, member_id, points=points, method="mobile_money")
            case Work():
                await _work(services, provider, step)
            case Wait(minutes=minutes):
                advance(services, timedelta(minutes=minutes))
            case Decide(pays=pays):
                provider.decide(pays=pays)
        await _check(services, provider, member_id)
    await _end(services, provider)
    await _check(services, provider, member_id)
    found = await rows(
        services.db, "SELECT id, state FROM withdrawals WHERE member_id = :member", member=member_id
    )
    assert {state for _, state in found} <= {"settled", "failed"}
    assert {id_ for id_, state in found if state == "settled"} == {id_ for id_, _ in found} & provider.paid
    assert (await reconcile(services)).differences == []
    await assert_audit_is_clean(services)


async def _work(services: Services, provider: UnreliableProvider, step: Work) -> None:
    provider.sendings, provider.status = list(step.sendings), step.status
    now = services.clock.now()
    turns = (pay_out_due(services, now=now) for _ in range(step.workers))
    for done in await asyncio.gather(*turns, return_exceptions=True):
        assert not isinstance(done, BaseException) or isinstance(done, WorkerDied)
    provider.sendings, provider.status = [], "answers"


async def _end(services: Services, provider: UnreliableProvider) -> None:
    """From now on workers live and the provider answers."""
    for _ in range(12):
        await pay_out_due(services, now=advance(services, timedelta(hours=6)))
        provider.decide(pays=True)


async def _check(services: Services, provider: UnreliableProvider, member_id: str) -> None:
    """No payout was sent twice, and every point is active, held or paid."""
    assert set(provider.arrived.values()) <= {1}
    active, held = await balance(services, member_id)
    found = await rows(
        services.db, "SELECT id, state, points FROM withdrawals WHERE member_id = :member", member=member_id
    )
    points: Counter[str] = Counter()
    for id_, state, of in found:
        assert isinstance(of, int)
        assert id_ not in provider.paid or state != "failed"
        assert id_ in provider.paid or state != "settled"
        points[str(state)] += of
    assert held == points["requested"] + points["submitted"] + points["unknown"]
    assert active == POINTS - held - points["settled"]
