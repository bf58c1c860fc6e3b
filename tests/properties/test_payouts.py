"""Whatever a provider does and whoever dies: money is paid at most once, and points go exactly when it is.

What happens is drawn: withdrawals, workers one by one and at once, providers that take, decline, time out
before or after they took it, say nothing or cannot be reached, workers that die before and after the call,
and time. In the end the provider answers, and everything has to have come to its end.
"""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import count
from typing import Any, Literal
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
from tests.support.clock import advance
from tests.support.database import rows
from tests.support.withdrawals import OPEN, PROGRAM, balance, join, services_with_withdrawals

EXAMPLES = 20
POINTS = 100
UNCAPPED = "\n".join(line for line in OPEN.splitlines() if not line.startswith(("min_", "max_")))

Sending = Literal["takes", "declines", "loses", "takes_silently", "is_away", "dies_before", "dies_after"]
SlotQuery = Literal["answers", "is_silent", "dies"]

_numbers = count(1)


class Died(Exception):
    """A worker, at this point of its work."""


class Fickle:
    """A provider that does what is drawn. It pays, or does not, when it comes to it."""

    name = "fickle"

    def __init__(self) -> None:
        self.sendings: list[Sending] = []
        self.asking: SlotQuery = "answers"
        self.arrived: Counter[UUID] = Counter()
        self.open: list[Payout] = []
        self.ends: dict[UUID, Outcome] = {}

    async def send(self, payout: Payout, *, at: datetime) -> Outcome:
        how: Sending = self.sendings.pop() if self.sendings else "takes"
        await asyncio.sleep(0)
        if how == "dies_before":
            raise Died
        if how == "is_away":
            return NotSent("ConnectError")
        if how == "loses":
            return Unclear("ReadTimeout")
        self.arrived[payout.reference] += 1
        if how == "declines":
            self.ends[payout.reference] = Declined("payee_not_found")
            return self.ends[payout.reference]
        self.open.append(payout)
        if how == "dies_after":
            raise Died
        return Unclear("ReadTimeout") if how == "takes_silently" else Accepted()

    async def ask(self, payout: Payout, *, at: datetime) -> Outcome:
        await asyncio.sleep(0)
        match self.asking:
            case "dies":
                raise Died
            case "is_silent":
                return Unclear("status 503")
        if any(one.reference == payout.reference for one in self.open):
            return Accepted()
        return self.ends.get(payout.reference, NotReceived())

    async def close(self) -> None:
        return

    def decide(self, *, pays: bool) -> None:
        """What it has taken comes to its end."""
        for one in self.open:
            paid = Paid("f-1", one.amount_minor, one.currency)
            self.ends[one.reference] = paid if pays else Declined("not_allowed")
        self.open.clear()

    @property
    def paid(self) -> set[UUID]:
        return {reference for reference, end in self.ends.items() if isinstance(end, Paid)}


class Withdraw(Struct, frozen=True):
    points: int


class Work(Struct, frozen=True):
    """Workers take a turn, at once."""

    workers: int
    sendings: tuple[Sending, ...] = ()
    asking: SlotQuery = "answers"


class Wait(Struct, frozen=True):
    minutes: int


class Decide(Struct, frozen=True):
    pays: bool


SENDINGS: list[Sending] = [
    "takes",
    "declines",
    "loses",
    "takes_silently",
    "is_away",
    "dies_before",
    "dies_after",
]
ASKINGS: list[SlotQuery] = ["answers", "answers", "is_silent", "dies"]

withdrawals = st.builds(Withdraw, st.integers(1, 30))
work = st.builds(
    Work,
    st.integers(1, 3),
    st.lists(st.sampled_from(SENDINGS), min_size=3, max_size=3).map(tuple),
    st.sampled_from(ASKINGS),
)
waits = st.builds(Wait, st.sampled_from([1, 20, 61, 24 * 60]))
decisions = st.builds(Decide, st.booleans())
# A few withdrawals, and turns between them with all that can happen in one.
lives = st.lists(
    st.tuples(withdrawals, withdrawals, work, waits, decisions, work, waits).map(list), min_size=1, max_size=4
).map(lambda rounds: [step for one in rounds for step in one])


class World:
    """The servers, and a loop that runs only while something is asked."""

    def __init__(self, services: Services, provider: Fickle, loop: asyncio.AbstractEventLoop) -> None:
        self.services = services
        self.provider = provider
        self.loop = loop

    def run(self, work: Coroutine[Any, Any, Any]) -> None:
        self.loop.run_until_complete(work)


@pytest.fixture
def world(own_database: Settings, valkey: Redis) -> Iterator[World]:
    loop = asyncio.new_event_loop()
    provider = Fickle()
    context = services_with_withdrawals(own_database, provider, withdrawal=UNCAPPED)
    try:
        yield World(loop.run_until_complete(context.__aenter__()), provider, loop)
        loop.run_until_complete(context.__aexit__(None, None, None))
    finally:
        loop.close()


def test_money_is_paid_once_and_points_go_exactly_when_it_is(world: World) -> None:
    @given(lives)
    @hypothesis_settings(
        max_examples=EXAMPLES,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    def live(drawn: list[Withdraw | Work | Wait | Decide]) -> None:
        world.run(_live(world, drawn))

    live()


async def _live(world: World, drawn: list[Withdraw | Work | Wait | Decide]) -> None:
    services, provider = world.services, world.provider
    member_id = f"m-{next(_numbers)}"
    await join(services, member_id)
    for step in drawn:
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


async def _work(services: Services, provider: Fickle, step: Work) -> None:
    provider.sendings, provider.asking = list(step.sendings), step.asking
    now = services.clock.now()
    turns = (pay_out_due(services, now=now) for _ in range(step.workers))
    for done in await asyncio.gather(*turns, return_exceptions=True):
        assert not isinstance(done, BaseException) or isinstance(done, Died)
    provider.sendings, provider.asking = [], "answers"


async def _end(services: Services, provider: Fickle) -> None:
    """Everybody lives and answers from now on."""
    for _ in range(12):
        await pay_out_due(services, now=advance(services, timedelta(hours=6)))
        provider.decide(pays=True)


async def _check(services: Services, provider: Fickle, member_id: str) -> None:
    """At every moment: sent once; and what is neither to be spent, nor held, nor paid, is nowhere."""
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
