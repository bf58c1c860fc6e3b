"""An order that two accounts know is, after their merger, as if everything had been reported for one member.

Facts of one order are reported for either account or for both, points are spent on it, and the merger comes
at any moment. Another member gets all that was accepted. In the end both have the same balance and the same
credits, and the audit is clean.
"""

from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from typing import Literal

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from engage.domain.activity import Payment
from engage.domain.refusals import Refusal
from engage.flows.checkout.close_holds import HoldClosing, close_holds
from engage.flows.checkout.hold import HoldRequest, hold
from engage.flows.members.merge import merge_members
from engage.flows.operations.audit import audit_snapshot
from engage.flows.scheduled.settle import settle_due
from engage.runtime.database import snapshot
from engage.runtime.services import Services
from engage.settings import Settings
from engage.store.shop.checks import ORDER_CHECKS
from tests.support.audit import assert_audit_is_clean
from tests.support.blocking import BlockingServices, blocking
from tests.support.clock import advance
from tests.support.database import rows
from tests.support.generated_cases import cases
from tests.support.orders import (
    PROGRAM,
    balance,
    buy,
    cancelled,
    delivered,
    join,
    line,
    paid,
    returned,
    send_events,
    services_with_orders,
)

Who = Literal["one", "other", "both"]
What = Literal["paid", "delivered", "cancelled", "spent", "r-1", "r-2", "r-3", "r-all"]

Steps = list[tuple[What, Who]]

EXAMPLES = 30
LINES = [line("1", 3_333, quantity=2, tag_points=3), line("2", 1_250, tag_points=2)]
# Together no more than was bought.
RETURNS = {"r-1": {"1": 1}, "r-2": {"1": 1}, "r-3": {"2": 1}, "r-all": None}
SPENT = 37

_numbers = count(1)

whats = st.sampled_from(What.__args__)  # type: ignore[attr-defined]
whos = st.sampled_from(Who.__args__)  # type: ignore[attr-defined]


class Orders:
    """One order of the accounts `one` and `other`, and the same order of the member `single`."""

    def __init__(self, services: Services) -> None:
        self.services = services
        number = next(_numbers)
        self.one, self.other, self.single = (f"{name}-{number}" for name in ("one", "other", "single"))
        self.is_spent = False

    async def begin(self) -> None:
        """Each account has a hundred points, and the single member has as many as both."""
        for member, orders in ((self.one, 1), (self.other, 1), (self.single, 2)):
            await join(self.services, member)
            for n in range(orders):
                order_id = f"before-{n}-{member}"
                await buy(self.services, line(paid=10_000), order_id=order_id, member_id=member)

    async def step(self, what: What, who: Who) -> None:
        members = {"one": [self.one], "other": [self.other], "both": [self.one, self.other]}[who]
        for member in members:
            if what == "spent":
                if self.is_spent:  # An order has one hold.
                    continue
                accepted = self.is_spent = await self.spend(member)
            else:
                accepted = await self.report(what, member)
            if accepted:
                # What is refused to one who knows everything would have changed nothing.
                await (self.spend(self.single) if what == "spent" else self.report(what, self.single))
            await settle_due(self.services, now=self.services.clock.now())

    def order_id(self, member: str) -> str:
        return f"order-{self.single}" if member == self.single else f"order-{self.one}"

    async def report(self, what: What, member: str) -> bool:
        order_id = self.order_id(member)
        match what:
            case "paid":
                event = paid(self.services, *LINES, order_id=order_id, member_id=member)
                return await send_events(self.services, event) == []
            case "delivered" | "cancelled":
                tell = delivered if what == "delivered" else cancelled
                return await send_events(self.services, tell(self.services, order_id, member_id=member)) == []
            case _:
                back = returned(
                    self.services, RETURNS[what], order_id=order_id, return_id=what, member_id=member
                )
                return await send_events(self.services, back) == []

    async def spend(self, member: str) -> bool:
        request = HoldRequest(
            program=PROGRAM,
            member_id=member,
            order_id=self.order_id(member),
            lines=LINES,
            payment=Payment(method="card"),
            currency="EUR",
            points=SPENT,
        )
        (held,) = await hold(self.services, [request])
        if isinstance(held, Refusal):
            assert held.code in ("order_conflict", "order_cancelled"), held
            return False
        (captured,) = await close_holds(self.services, [HoldClosing(held.hold_id, "captured")])
        assert not isinstance(captured, Refusal)
        return True

    async def merge(self, *, one_goes: bool) -> str:
        """Merge one into the other, or the other into one; return the survivor."""
        gone, survivor = (self.one, self.other) if one_goes else (self.other, self.one)
        await merge_members(self.services, PROGRAM, gone, into=survivor, reason="one", operator="key-1")
        await settle_due(self.services, now=self.services.clock.now())
        assert await balance(self.services, gone) == {}
        return survivor

    async def kept(self, member: str) -> list[tuple[object, ...]]:
        """Return (rule, state, points that are left) of the order's credits."""
        return await rows(
            self.services.db,
            """
            SELECT rule_id, state, CASE WHEN state = 'reversed' THEN 0 ELSE points - taken_back END
            FROM credits WHERE member_id = :member AND reference = 'order:' || :order_id ORDER BY 1
            """,
            member=member,
            order_id=self.order_id(member),
        )


async def play(services: Services, steps: Steps, merged_after: int, one_goes: bool) -> None:
    orders = Orders(services)
    await orders.begin()
    for what, who in steps[:merged_after]:
        await orders.step(what, who)
    survivor = await orders.merge(one_goes=one_goes)
    for what, who in steps[merged_after:]:
        await orders.step(what, who)
    for _ in range(2):
        assert await balance(services, survivor) == await balance(services, orders.single)
        assert await orders.kept(survivor) == await orders.kept(orders.single)
        # Again when all that can become active is active.
        await settle_due(services, now=advance(services, timedelta(days=1)))
    async with snapshot(services.db) as conn:
        audited = await audit_snapshot(conn, services.clock, checks=ORDER_CHECKS)
    assert [(finding.check.name, finding.rows) for finding in audited.broken] == []


@pytest.fixture(scope="module")
def services(module_database: Settings) -> Iterator[BlockingServices]:
    with blocking(services_with_orders(module_database)) as opened:
        yield opened
        opened.run(assert_audit_is_clean(opened.services))


@given(
    steps=st.lists(st.tuples(whats, whos), max_size=8),
    merged_after=st.integers(0, 8),
    one_goes=st.booleans(),
)
@example([("paid", "one"), ("delivered", "other")], 2, True)
@example([("paid", "one"), ("delivered", "one"), ("cancelled", "other")], 3, True)
@example([("spent", "one"), ("paid", "one"), ("delivered", "one"), ("cancelled", "other")], 4, False)
@example([("paid", "one"), ("delivered", "one"), ("r-1", "both")], 3, True)
@example([("paid", "both"), ("delivered", "both"), ("r-all", "one")], 2, False)
@example([("r-1", "one"), ("r-1", "other"), ("spent", "other"), ("paid", "one"), ("r-2", "other")], 3, True)
@hypothesis_settings(max_examples=cases(EXAMPLES), suppress_health_check=list(HealthCheck))
def test_a_merged_order_is_as_if_it_had_always_been_the_survivors(
    services: BlockingServices, steps: Steps, merged_after: int, one_goes: bool
) -> None:
    services.run(play(services.services, steps, merged_after=merged_after, one_goes=one_goes))
