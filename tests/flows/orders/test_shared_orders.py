"""A merger joins the orders that both members know, as if everything had been reported for the survivor."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from engage.flows.members.merge import merge_members
from engage.flows.scheduled.settle import settle_due
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import advance
from tests.support.database import rows
from tests.support.orders import (
    PROGRAM,
    balance,
    buy,
    cancelled,
    credits,
    delivered,
    join,
    line,
    paid,
    returned,
    send_events,
    services_with_orders,
    spend,
)


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    """Two members; the audit must be clean after each test."""
    async with services_with_orders(settings) as opened:
        await join(opened, "m-1")
        await join(opened, "m-2")
        yield opened
        await assert_audit_is_clean(opened)


async def merge(services: Services, member_id: str = "m-1", into: str = "m-2") -> None:
    await merge_members(services, PROGRAM, member_id, into=into, reason="one person", operator="key-1")
    await settle_due(services, now=services.clock.now())


@pytest.fixture(params=[("m-1", "m-2"), ("m-2", "m-1")], ids=["payer goes", "payer stays"])
def merged(request: pytest.FixtureRequest) -> tuple[str, str]:
    """The member who goes, and the survivor. All orders here are paid by m-1."""
    pair: tuple[str, str] = request.param
    return pair


async def test_paid_of_one_and_delivered_of_the_other(services: Services, merged: tuple[str, str]) -> None:
    assert await send_events(services, delivered(services, member_id="m-2")) == []
    assert await send_events(services, paid(services, line(paid=10_000))) == []
    await merge(services, *merged)
    assert await balance(services, merged[1]) == {"active": 100}


async def test_delivered_and_cancelled_under_the_other(services: Services, merged: tuple[str, str]) -> None:
    await buy(services, line(paid=10_000))
    assert await send_events(services, cancelled(services, member_id="m-2")) == []
    await merge(services, *merged)
    assert await balance(services, merged[1]) == {}


async def test_spent_on_an_order_that_is_cancelled_under_the_other(
    services: Services, merged: tuple[str, str]
) -> None:
    await buy(services, line(paid=10_000), order_id="earned")
    hold_id = await spend(services, 60, "o-1")
    assert await send_events(services, paid(services, line(paid=3_000), hold_id=hold_id)) == []
    assert await send_events(services, cancelled(services, member_id="m-2")) == []
    assert await balance(services) == {"active": 40, "pending": 29}
    await merge(services, *merged)
    assert await balance(services, merged[1]) == {"active": 100}


async def test_spent_by_one_alone_and_cancelled_under_the_other(
    services: Services, merged: tuple[str, str]
) -> None:
    await buy(services, line(paid=10_000), order_id="earned")
    await spend(services, 60, "o-1")
    assert await send_events(services, cancelled(services, member_id="m-2")) == []
    await merge(services, *merged)
    assert await balance(services, merged[1]) == {"active": 100}


async def test_an_open_hold_of_the_survivor_ends_with_the_other_ones_cancellation(services: Services) -> None:
    await buy(services, line(paid=10_000), order_id="earned")
    await spend(services, 60, "o-1", capture=False)
    assert await send_events(services, cancelled(services, member_id="m-2")) == []
    await merge(services, "m-2", "m-1")
    assert await balance(services, "m-1") == {"active": 100}
    assert await rows(services.db, "SELECT state FROM holds") == [("released",)]


@pytest.mark.parametrize("is_active", [False, True])
async def test_one_return_reported_for_both(
    services: Services, merged: tuple[str, str], is_active: bool
) -> None:
    bought = line(paid=10_000, quantity=4)
    if is_active:
        await buy(services, bought)
    else:
        assert await send_events(services, paid(services, bought)) == []
    for member in ("m-1", "m-2"):
        back = returned(services, {"1": 1}, return_id="r-1", member_id=member)
        assert await send_events(services, back) == []
    await merge(services, *merged)
    assert await balance(services, merged[1]) == {"active" if is_active else "pending": 75}
    # Two more, for the one who went: the order knows what is back.
    again = returned(services, {"1": 1}, return_id="r-1", member_id=merged[0])
    assert await send_events(services, again, returned(services, {"1": 2}, member_id=merged[0])) == []
    assert await balance(services, merged[1]) == {"active" if is_active else "pending": 25}


async def test_two_returns_one_reported_for_each(services: Services, merged: tuple[str, str]) -> None:
    await buy(services, line(paid=10_000, quantity=4))
    for member, return_id in (("m-1", "r-1"), ("m-2", "r-2")):
        back = returned(services, {"1": 1}, return_id=return_id, member_id=member)
        assert await send_events(services, back) == []
    await merge(services, *merged)
    assert await balance(services, merged[1]) == {"active": 50}


async def pay_twice(services: Services, bought: int) -> None:
    """Pay one order of both members, as the release before accepted it."""
    assert await send_events(services, paid(services, line(paid=bought, tag_points=3))) == []
    async with services.db.begin() as conn:
        await conn.exec_driver_sql("DELETE FROM order_owners")
    second = paid(services, line(paid=bought, tag_points=3), member_id="m-2")
    assert await send_events(services, second) == []


@pytest.mark.parametrize("is_active", [False, True])
async def test_paid_of_both_earns_once(services: Services, merged: tuple[str, str], is_active: bool) -> None:
    await pay_twice(services, 10_000)
    if is_active:
        for member in ("m-1", "m-2"):
            assert await send_events(services, delivered(services, member_id=member)) == []
        await settle_due(services, now=advance(services, timedelta(days=1)))
    await merge(services, *merged)
    if not is_active:
        assert await send_events(services, delivered(services, member_id=merged[0])) == []
        await settle_due(services, now=advance(services, timedelta(days=1)))
    assert await balance(services, merged[1]) == {"active": 103}
    assert await send_events(services, returned(services, member_id=merged[0])) == []
    assert await balance(services, merged[1]) == {}
    assert {state for _, state, *_ in await credits(services, merged[1])} == {"reversed"}


async def test_paid_of_both_and_spent_leaves_a_debt(services: Services) -> None:
    await pay_twice(services, 10_000)
    for member in ("m-1", "m-2"):
        assert await send_events(services, delivered(services, member_id=member)) == []
    await settle_due(services, now=advance(services, timedelta(days=1)))
    for member in ("m-1", "m-2"):
        await spend(services, 103, f"by-{member}", member_id=member)
    await merge(services)
    assert await balance(services, "m-2") == {"debt": 103}


async def test_an_order_reported_for_three_members_in_a_chain(services: Services) -> None:
    await join(services, "m-3")
    assert await send_events(services, paid(services, line(paid=10_000, quantity=2))) == []
    assert await send_events(services, delivered(services, member_id="m-3")) == []
    back = returned(services, {"1": 1}, member_id="m-2")
    assert await send_events(services, back) == []
    await merge(services, "m-1", "m-2")
    assert await balance(services, "m-2") == {"pending": 50}
    await merge(services, "m-2", "m-3")
    assert await balance(services, "m-3") == {"active": 50}
