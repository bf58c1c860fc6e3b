"""Points beyond what a credit or an account can have refuse their own event, and nothing else."""

from collections.abc import AsyncIterator

import pytest

from engage.domain.accounts.balance import MOST_BALANCE, MOST_POINTS
from engage.domain.activity import Line, Review
from engage.domain.refusals import Refusal
from engage.flows.activities.activity import MemberActivity
from engage.flows.activities.record import record
from engage.flows.members.adjust import AdjustmentRequest, adjust
from engage.flows.members.merge import merge_members
from engage.flows.scheduled.settle import settle_due
from engage.flows.shop.events import AnyEvent
from engage.flows.shop.take_events import take_events
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support import activities
from tests.support.activities import services_with_activities
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import DAY, advance
from tests.support.orders import (
    PROGRAM,
    balance,
    delivered,
    join,
    line,
    paid,
    send_events,
    services_with_orders,
)

MOST_MINOR = 10**12
TAGS = {"quantity": 100_000, "tag_points": 1_000_000}  # A tenth of MOST_POINTS.


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with services_with_orders(settings) as opened:
        for member in ("m-1", "m-2"):
            await join(opened, member)
        yield opened
        await assert_audit_is_clean(opened)


def tagged(lines: int) -> list[Line]:
    return [line(str(n), 1, **TAGS) for n in range(lines)]


async def fill(services: Services, member_id: str = "m-1", *, left: int) -> None:
    """Give a member pending points, until `left` more are possible."""
    orders = [
        paid(services, *tagged(10), order_id=f"{member_id}-{n}", member_id=member_id) for n in range(999)
    ]
    assert await send_events(services, *orders) == []
    rest = MOST_POINTS - left
    last = [line("rest", 1, quantity=1, tag_points=rest % 1_000_000)]
    last += [line("whole", 1, quantity=rest // 1_000_000 % 100_000, tag_points=1_000_000)]
    last += tagged(rest // 10**11)
    assert await send_events(services, paid(services, *last, order_id="last", member_id=member_id)) == []
    assert await balance(services, member_id) == {"pending": MOST_BALANCE - left}


async def test_one_huge_order_is_refused_alone(services: Services) -> None:
    huge = [line(str(n), MOST_MINOR) for n in range(500)]
    taken = await take_events(
        services,
        [
            paid(services, order_id="before"),
            paid(services, *tagged(11), order_id="tags"),
            paid(services, *huge, shipping=MOST_MINOR, order_id="earns half of 10**13", channel="app"),
            paid(services, *huge, shipping=MOST_MINOR, order_id="earns nothing", channel="store"),
            paid(services, *tagged(10), order_id="most"),
            delivered(services, "after"),
        ],
    )
    assert {n: (refused.code, refused.facts) for n, refused in taken.refused.items()} == {
        1: ("too_many_points", {"limit": MOST_POINTS}),
        2: ("too_many_points", {"limit": MOST_POINTS}),
    }
    assert taken.accepted == 4
    assert await balance(services) == {"pending": 10 + MOST_POINTS}


async def test_a_full_account_refuses_its_own_events_alone(services: Services) -> None:
    await fill(services, left=15)
    events: list[AnyEvent] = [
        paid(services, order_id="o-1"),
        paid(services, order_id="o-2", member_id="m-2"),
        paid(services, order_id="o-3"),
        paid(services, order_id="o-4", member_id="m-2"),
        delivered(services, "o-1"),
    ]
    taken = await take_events(services, events)
    (n,) = taken.refused
    assert (n in (0, 2), taken.refused[n].code, taken.refused[n].facts) == (
        True,
        "too_many_points",
        {"limit": MOST_BALANCE},
    )
    assert await balance(services) == {"pending": MOST_BALANCE - 5}
    assert await balance(services, "m-2") == {"pending": 20}
    # Reviews of both are recorded in one batch: the full account's own is refused.
    reviews = [
        MemberActivity(PROGRAM, member, Review(product_id="p", review_id="r"), services.clock.now())
        for member in ("m-1", "m-2")
    ]
    full, other = await record(services, reviews)
    assert isinstance(full, Refusal)
    assert full.code == "too_many_points"
    assert not isinstance(other, Refusal)
    with pytest.raises(Refusal, match="too_many_points"):
        await adjust(
            services,
            PROGRAM,
            "m-1",
            AdjustmentRequest(points=1_000_000_000, reason="gift", reference="g-1"),
            operator="key-1",
        )
    with pytest.raises(Refusal, match="too_many_points"):
        await merge_members(services, PROGRAM, "m-2", into="m-1", reason="one", operator="key-1")
    # Settling what is pending never fails.
    assert await settle_due(services, now=advance(services, DAY)) > 1000


async def test_a_sign_in_that_is_refused_is_not_swallowed(settings: Settings) -> None:
    async with services_with_activities(settings) as services:
        await activities.join(services, "m-1")
        async with services.db.begin() as conn:
            await conn.exec_driver_sql(f"UPDATE balances SET pending = {MOST_BALANCE}")
        first = activities.signed_in(services)
        taken = await take_events(services, [first])
        assert [refused.code for refused in taken.refused.values()] == ["too_many_points"]
        async with services.db.begin() as conn:
            await conn.exec_driver_sql("UPDATE balances SET pending = 50")
        assert (await take_events(services, [first])).accepted == 1
        await assert_audit_is_clean(services)
