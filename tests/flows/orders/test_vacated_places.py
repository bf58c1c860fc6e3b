"""A first order that is cancelled leaves its place to the next one, whose points are due then: they last as
long as any that become active on that day. All by the times of the facts, whenever they are reported.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from engage.flows.members.merge import merge_members
from engage.flows.operations.audit import audit
from engage.flows.scheduled.reactions import react_due
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.clock import DAY, NOON, advance, set_sandbox_clock
from tests.support.database import rows
from tests.support.first_orders import DELIVERED_AT, FIRST_TWO, HOUR, PAID_AT, deliver, live, pay, work
from tests.support.orders import (
    PROGRAM,
    balance,
    cancelled,
    delivered,
    join,
    line,
    paid,
    returned,
    send_events,
)
from tests.support.programs import services_with

UNTIL_THE_END_OF_NEXT_YEAR = FIRST_TWO.replace(
    'expiry = { type = "never" }', 'expiry = { type = "end_of_year", years_later = 1 }'
)

# The shop's clock may be ahead of ours: what it says of then is due then, and pending until then.
SOON = NOON + timedelta(minutes=4)

# The third order is still the third.
A_LITTLE_EARLIER = DELIVERED_AT + 2.5 * HOUR


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with services_with(settings, UNTIL_THE_END_OF_NEXT_YEAR) as opened:
        await join(opened)
        yield opened


def new_year(year: int) -> datetime:
    """Midnight in Madrid."""
    return datetime(year, 1, 1, tzinfo=UTC) - HOUR


async def cancel(
    services: Services, number: int, *, at: datetime | None = None, member_id: str = "m-1"
) -> None:
    event = cancelled(services, f"o-{number}", member_id=member_id, at=at)
    assert await send_events(services, event) == []


async def credit(services: Services, number: int) -> tuple[Any, ...]:
    """(state, points left, due time, end) of what an order earned."""
    ((state, points, due_at, expires_at),) = await rows(
        services.db,
        "SELECT state, points - taken_back, due_at, expires_at FROM credits WHERE reference = :r",
        r=f"order:o-{number}",
    )
    return state, points, due_at, expires_at


async def assert_clean(services: Services) -> None:
    await set_sandbox_clock(services.settings, services.clock.now())
    assert (await audit(services.settings)).broken == []


@pytest.mark.parametrize("days", [400, 800])
async def test_the_points_of_the_next_order_last_from_the_cancellation_on(
    services: Services, days: int
) -> None:
    await pay(services, [1, 2, 3])
    await deliver(services, 1, 2, 3)
    now = advance(services, days * DAY)
    await work(services)
    await cancel(services, 1)
    await work(services)
    assert await credit(services, 3) == ("active", 30, now, new_year(now.year + 2))
    assert (await balance(services))["active"] == (50 if days == 400 else 30)
    await assert_clean(services)


@pytest.mark.parametrize("reported_first", [1, 2])
async def test_the_time_of_a_cancellation_counts_and_not_that_of_its_report(
    services: Services, reported_first: int
) -> None:
    cancelled_on = {1: NOON + 10 * DAY, 2: NOON + 5 * DAY}
    await pay(services, [1, 2, 3, 4])
    await deliver(services, 1, 2, 3, 4)
    advance(services, 300 * DAY)
    for number in (reported_first, 3 - reported_first):
        await cancel(services, number, at=cancelled_on[number])
    await work(services)
    assert await credit(services, 3) == ("active", 30, cancelled_on[2], new_year(2028))
    assert await credit(services, 4) == ("active", 40, cancelled_on[1], new_year(2028))


async def test_deliveries_and_payments_that_are_reported_after_the_cancellation_change_nothing(
    services: Services,
) -> None:
    await pay(services, [1, 2])
    await deliver(services, 1, 2)
    now = advance(services, 400 * DAY)
    await cancel(services, 1)
    await pay(services, [3])
    await work(services)
    assert await live(services) == {"o-2": 20}
    advance(services, 400 * DAY)
    await deliver(services, 3)
    assert await credit(services, 3) == ("active", 30, now, new_year(2029))


async def test_what_is_known_later_of_the_order_does_not_make_its_points_due_earlier(
    services: Services,
) -> None:
    await pay(services, [1, 2])
    bought = paid(services, line(paid=3000, quantity=3), order_id="o-3", at=PAID_AT)
    assert await send_events(services, bought) == []
    await deliver(services, 1, 2, 3)
    await cancel(services, 1, at=SOON)
    await work(services)
    assert await credit(services, 3) == ("pending", 30, SOON, new_year(2028))
    again = delivered(services, "o-3", at=A_LITTLE_EARLIER)
    back = returned(services, {"1": 1}, order_id="o-3")
    assert await send_events(services, again, back, bought) == []
    assert await credit(services, 3) == ("pending", 20, SOON, new_year(2028)), "also before the reaction"
    await work(services)
    assert await credit(services, 3) == ("pending", 20, SOON, new_year(2028))
    assert await balance(services) == {"active": 20, "pending": 20}
    advance(services, SOON - NOON)
    await work(services)
    assert await balance(services) == {"active": 40}
    await assert_clean(services)


async def test_pending_points_follow_what_becomes_known_of_the_other_orders(services: Services) -> None:
    await pay(services, [1, 2, 3, 4])
    await deliver(services, 2, 3, 4)
    await cancel(services, 2, at=SOON)
    await react_due(services, now=services.clock.now())
    assert (await credit(services, 4))[:3] == ("pending", 40, SOON)
    await cancel(services, 3, at=NOON - HOUR)
    await react_due(services, now=services.clock.now())
    assert (await credit(services, 4))[:3] == ("pending", 40, NOON - HOUR)
    # An order that was delivered before them and is cancelled too: one place less until then.
    await cancel(services, 1, at=NOON - timedelta(minutes=1))
    assert await send_events(services, delivered(services, "o-1", at=DELIVERED_AT)) == []
    await react_due(services, now=services.clock.now())
    assert (await credit(services, 4))[:3] == ("pending", 40, NOON - timedelta(minutes=1))


async def test_a_late_delivery_takes_the_place_before_its_points_are_due(services: Services) -> None:
    await pay(services, [1, 2, 3, 4])
    await deliver(services, 2, 3, 4)
    await cancel(services, 2, at=SOON)
    await work(services)
    assert await balance(services) == {"active": 30, "pending": 40}
    await deliver(services, 1)
    assert await live(services) == {"o-1": 10, "o-3": 30}
    assert await balance(services) == {"active": 40}


async def test_an_order_that_lost_its_place_is_paid_again_when_it_has_one(services: Services) -> None:
    await pay(services, [1, 2, 3])
    await deliver(services, 2, 3)
    assert await balance(services) == {"active": 50}
    await deliver(services, 1)
    assert await balance(services) == {"active": 30}
    now = advance(services, 400 * DAY)
    await cancel(services, 2)
    await work(services)
    assert await live(services) == {"o-1": 10, "o-3": 30}
    assert await balance(services) == {"active": 40}
    assert await credit(services, 3) == ("active", 30, now, new_year(2029))
    assert await send_events(services, returned(services, order_id="o-3")) == []
    assert await balance(services) == {"active": 10}
    await cancel(services, 3)
    await work(services)
    assert await balance(services) == {"active": 10}
    await assert_clean(services)


@pytest.mark.parametrize(
    "order", list(permutations(["paid 1", "delivered 1", "cancelled 2", "returned 3"]))[::4]
)
async def test_what_is_paid_in_the_end_follows_from_the_facts(
    services: Services, order: tuple[str, ...]
) -> None:
    """Whatever was paid meanwhile."""
    await pay(services, [2, 4])
    bought = paid(services, line(paid=3000, quantity=3), order_id="o-3", at=PAID_AT)
    assert await send_events(services, bought) == []
    await deliver(services, 2, 3, 4)
    for known in order:
        match known.split():
            case "paid", number:
                await pay(services, [int(number)])
            case "delivered", number:
                await deliver(services, int(number))
            case "cancelled", number:
                await cancel(services, int(number), at=NOON - HOUR)
            case "returned", number:
                event = returned(services, {"1": 1}, order_id=f"o-{number}")
                assert await send_events(services, event) == []
        await work(services)
    assert await live(services) == {"o-1": 10, "o-3": 20}
    assert await balance(services) == {"active": 30}
    await assert_clean(services)


async def test_an_order_that_lost_its_place_before_a_merger_is_paid_after_it(services: Services) -> None:
    await join(services, "m-2")
    await pay(services, [1, 2, 3], "m-2")
    await deliver(services, 2, 3, member_id="m-2")
    await deliver(services, 1, member_id="m-2")
    assert await live(services, "m-2") == {"o-1": 10, "o-2": 20}
    await merge_members(services, PROGRAM, "m-2", into="m-1", reason="one person", operator="test")
    await cancel(services, 1)
    await work(services)
    assert await live(services) == {"o-2": 20, "o-3": 30}
    assert await balance(services) == {"active": 50}
    await assert_clean(services)


async def test_nothing_that_was_paid_before_a_merger_is_paid_again(services: Services) -> None:
    """Not even what has expired, or was returned."""
    await join(services, "m-2")
    await pay(services, [1, 2], "m-2")
    await deliver(services, 1, 2, member_id="m-2")
    assert await send_events(services, returned(services, order_id="o-1", member_id="m-2")) == []
    advance(services, 800 * DAY)
    await work(services)
    assert await balance(services, "m-2") == {}
    await merge_members(services, PROGRAM, "m-2", into="m-1", reason="one person", operator="test")
    await work(services)
    assert await balance(services) == {}
    await assert_clean(services)


async def test_a_cancellation_that_a_merged_account_knew_of_counts_from_its_time(services: Services) -> None:
    await join(services, "m-2")
    await pay(services, [1, 2, 3])
    await deliver(services, 1, 2, 3)
    at = advance(services, 300 * DAY)
    await cancel(services, 1, member_id="m-2")
    await work(services)
    assert await live(services) == {"o-1": 10, "o-2": 20}
    advance(services, DAY)
    await merge_members(services, PROGRAM, "m-2", into="m-1", reason="one person", operator="test")
    await work(services)
    assert await live(services) == {"o-2": 20, "o-3": 30}
    assert await credit(services, 3) == ("active", 30, at, new_year(2029))
    await assert_clean(services)


async def test_a_merger_leaves_pending_points_due_when_their_order_got_its_place(services: Services) -> None:
    await join(services, "m-2")
    await pay(services, [1, 2, 3])
    await deliver(services, 1, 2, 3)
    await cancel(services, 1, at=SOON)
    await work(services)
    known = delivered(services, "o-3", member_id="m-2", at=A_LITTLE_EARLIER)
    assert await send_events(services, known) == []
    await merge_members(services, PROGRAM, "m-2", into="m-1", reason="one person", operator="test")
    assert (await credit(services, 3))[:3] == ("pending", 30, SOON)
    await work(services)
    assert (await credit(services, 3))[:3] == ("pending", 30, SOON)
