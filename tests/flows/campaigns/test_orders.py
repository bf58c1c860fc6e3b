"""The boosts of an order are those of its payment, and go back with its lines."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from itertools import count
from random import Random
from typing import Any

import pytest
from msgspec import UNSET

from engage.domain.activity import Line, Payment
from engage.domain.earning.order_facts import ReturnedLine
from engage.flows.members.merge import merge_members
from engage.flows.scheduled.due_work import run_due_work
from engage.flows.scheduled.settle import settle_due
from engage.flows.shop.events import (
    OrderCancelledEvent,
    OrderDeliveredEvent,
    OrderPaid,
    OrderPaidEvent,
    OrderReference,
    OrderReturned,
    OrderReturnedEvent,
)
from engage.runtime.services import Services
from engage.settings import Settings
from engage.store.shop.orders import facts_of_row
from tests.support.audit import assert_audit_is_clean
from tests.support.campaigns import act_on, approve, boost, document
from tests.support.clock import DAY, NOON, advance
from tests.support.database import rows
from tests.support.programs import rule, services_with
from tests.support.tiers import HEAD, PROGRAM, join, send, stored_credits

PURCHASE = "order:o-1:purchase"
DOUBLE = f"{PURCHASE}+double"

FIRST_TWO = HEAD + rule(
    "first_two",
    'activity = "order"',
    'type = "first_orders", count = 2, since = 2026-10-01',
    'type = "per_spend", points = 1, step_minor = 100',
    due='type = "on_delivery"',
)


def line(
    line_id: str, paid: int, *, category: str | None = None, product: str = "p", pieces: int = 1
) -> Line:
    named = UNSET if category is None else category
    return Line(line_id=line_id, product_id=product, category=named, quantity=pieces, paid=paid)


_numbers = count(1)


def event(kind: str, member_id: str, at: datetime | None, services: Services) -> dict[str, Any]:
    return {
        "id": f"{kind}-{next(_numbers)}",
        "program": PROGRAM,
        "member_id": member_id,
        "time": at or services.clock.now(),
    }


def order(order_id: str, *lines: Line) -> OrderPaid:
    return OrderPaid(
        order_id=order_id, channel="web", payment=Payment(method="card"), lines=list(lines), currency="INR"
    )


async def pay(
    services: Services,
    *lines: Line,
    order_id: str = "o-1",
    member_id: str = "m-1",
    at: datetime | None = None,
) -> None:
    await send(
        services, OrderPaidEvent(**event("paid", member_id, at, services), data=order(order_id, *lines))
    )


async def deliver(services: Services, order_id: str = "o-1", member_id: str = "m-1") -> None:
    data = OrderReference(order_id=order_id)
    await send(services, OrderDeliveredEvent(**event("delivered", member_id, None, services), data=data))
    await work(services)


async def cancel(services: Services, order_id: str = "o-1", member_id: str = "m-1") -> None:
    data = OrderReference(order_id=order_id)
    await send(services, OrderCancelledEvent(**event("cancelled", member_id, None, services), data=data))
    await work(services)


async def give_back(services: Services, lines: dict[str, int], member_id: str = "m-1") -> None:
    head = event("returned", member_id, None, services)
    back = [ReturnedLine(line_id, pieces) for line_id, pieces in lines.items()]
    data = OrderReturned(order_id="o-1", return_id=head["id"], lines=back)
    await send(services, OrderReturnedEvent(**head, data=data))


async def work(services: Services) -> None:
    """Let reactions and settlement do all that they find."""
    await settle_due(services, now=services.clock.now())
    while await run_due_work(services, now=services.clock.now()):
        pass


async def kept(services: Services, member_id: str = "m-1") -> dict[str, int]:
    """The points that credits have left, by source key."""
    found = await rows(
        services.db,
        "SELECT source_key, CASE WHEN state = 'reversed' THEN 0 ELSE points - taken_back END FROM credits"
        " WHERE program_id = :p AND member_id = :m AND unit = 'points'",
        p=PROGRAM,
        m=member_id,
    )
    return {str(key): int(str(points)) for key, points in found}


async def test_a_boost_of_a_category_is_about_its_lines_and_goes_back_with_them(services: Services) -> None:
    campaign = document(boosts=[boost("purchase", multiply=3, categories=["phones"])])
    await approve(services, campaign)
    await pay(services, line("a", 3_350, category="phones", pieces=2), line("b", 1_000))
    # 43 for the order, and twice the 33.5 of its phones.
    assert await kept(services) == {PURCHASE: 43, DOUBLE: 67}
    await give_back(services, {"b": 1})
    assert (await kept(services))[DOUBLE] == 67
    await deliver(services)
    await give_back(services, {"a": 1})
    assert (await kept(services))[DOUBLE] == 34  # Half of it is gone, rounded down.
    await give_back(services, {"a": 1})
    assert await kept(services) == {PURCHASE: 0, DOUBLE: 0}


async def test_a_boost_is_due_with_its_order(services: Services) -> None:
    await approve(services, document(boosts=[boost("purchase", multiply=2)]))
    await pay(services, line("a", 1_000))
    assert (await stored_credits(services))[DOUBLE][:2] == ("pending", 10)
    await deliver(services)
    assert (await stored_credits(services))[DOUBLE][:2] == ("active", 10)
    await cancel(services)
    assert (await kept(services))[DOUBLE] == 0


async def test_what_is_known_before_the_payment_counts_for_the_boost_too(services: Services) -> None:
    await approve(services, document(boosts=[boost("purchase", multiply=2)]))
    data = OrderReference(order_id="o-1")
    await send(services, OrderDeliveredEvent(**event("delivered", "m-1", None, services), data=data))
    await give_back(services, {"a": 1})
    await pay(services, line("a", 1_000), line("b", 500))
    await work(services)
    assert await kept(services) == {PURCHASE: 5, DOUBLE: 5}


async def test_an_order_keeps_what_boosted_it_whatever_becomes_of_the_campaign(
    services: Services, other: Services
) -> None:
    campaign = document(boosts=[boost("purchase", multiply=2)])
    await approve(services, campaign)
    await pay(services, line("a", 1_000), line("b", 500))
    await act_on(services, campaign, "ended", at=services.clock.now())
    advance(services, DAY)
    await give_back(other, {"b": 1})
    await deliver(other)
    assert await kept(services) == {PURCHASE: 10, DOUBLE: 10}


async def test_a_late_payment_is_judged_by_what_was_in_force_at_its_time(services: Services) -> None:
    campaign = document(boosts=[boost("purchase", multiply=2)])
    advance(services, 20 * DAY)
    await approve(services, campaign, at=services.clock.now() - 10 * DAY)
    paused = await act_on(services, campaign, "paused", at=services.clock.now() - 5 * DAY)
    await services.campaigns.refresh(services.db)
    await pay(services, line("a", 1_000), order_id="o-1", at=paused - timedelta(seconds=1))
    await pay(services, line("a", 1_000), order_id="o-2", at=paused)
    await pay(services, line("a", 1_000), order_id="o-3", at=services.clock.now() - 11 * DAY)
    assert [key for key in await kept(services) if "+" in key] == [DOUBLE]


async def test_the_first_order_is_the_first_by_its_time_in_one_request_or_in_several(
    services: Services,
) -> None:
    await approve(services, document(boosts=[boost("purchase", multiply=2)], audience={"first_order": True}))
    now = services.clock.now()
    later, first = order("later", line("a", 1_000)), order("first", line("a", 2_000))
    await send(
        services,
        OrderPaidEvent(**event("paid", "m-1", now, services), data=later),
        OrderPaidEvent(**event("paid", "m-1", now - timedelta(minutes=1), services), data=first),
    )
    await pay(services, line("a", 3_000), order_id="third")
    assert [key for key in await kept(services) if "+" in key] == ["order:first:purchase+double"]


async def test_an_order_is_boosted_by_the_level_before_it(services: Services) -> None:
    campaign = document(boosts=[boost("purchase", multiply=2)], audience={"tiers": ["silver"]})
    await approve(services, campaign)
    await pay(services, line("a", 100_00), order_id="o-1")
    await pay(services, line("a", 10_00), order_id="o-2")
    assert (await kept(services))["order:o-2:purchase+double"] == 10
    assert DOUBLE not in await kept(services)


async def test_the_orders_of_merged_members_keep_their_boosts(services: Services) -> None:
    await approve(services, document(boosts=[boost("purchase", multiply=2)]))
    await pay(services, line("a", 1_000), line("b", 500))
    await merge_members(services, PROGRAM, "m-1", into="m-2", reason="test", operator="test")
    await services.members.refresh(services.db)
    await give_back(services, {"b": 1}, member_id="m-2")
    await deliver(services, member_id="m-2")
    assert await kept(services, "m-2") == {PURCHASE: 10, DOUBLE: 10}
    found = await rows(
        services.db, "SELECT DISTINCT campaign FROM credits WHERE member_id = 'm-2' AND beside IS NOT NULL"
    )
    assert found == [("double",)]


async def test_any_split_of_returns_takes_back_the_same(services: Services) -> None:
    await approve(services, document(boosts=[boost("purchase", multiply=1.7, products=["x"])]))
    random = Random(7)
    bought = [
        line("a", 3_331, product="x", pieces=3),
        line("b", 777, product="x"),
        line("c", 5_000, pieces=2),
    ]
    back = {"a": 2, "b": 1, "c": 1}
    for member in ("r-1", "r-2", "r-3", "r-4"):
        await join(services, member)
        head = event("paid", member, None, services)
        await send(services, OrderPaidEvent(**head, data=order(f"o-{member}", *bought)))
        pieces = [name for name, number in back.items() for _ in range(number)]
        random.shuffle(pieces)
        cut = random.randint(0, len(pieces))
        for part in (pieces[:cut], pieces[cut:]):
            if part:
                head = event("returned", member, None, services)
                returned = [ReturnedLine(name, part.count(name)) for name in sorted(set(part))]
                data = OrderReturned(order_id=f"o-{member}", return_id=head["id"], lines=returned)
                await send(services, OrderReturnedEvent(**head, data=data))
        left = await kept(services, member)
        # 0.7 of 41.08 points, of which the part of 2 997.67 of 4 108 is gone.
        assert left[f"order:o-{member}:purchase+double"] == 28 - 20


@asynccontextmanager
async def first_two(settings: Settings) -> AsyncIterator[Services]:
    async with services_with(settings, FIRST_TWO) as services:
        await join(services, "m-1")
        yield services
        await assert_audit_is_clean(services)


async def test_a_boost_of_a_first_order_comes_and_goes_with_its_place(settings: Settings) -> None:
    async with first_two(settings) as services:
        campaign = document(boosts=[boost("first_two", multiply=2)])
        await approve(services, campaign)
        for number in range(1, 4):
            await pay(services, line("a", number * 1_000), order_id=f"o-{number}")
        await act_on(services, campaign, "ended", at=services.clock.now())
        advance(services, DAY)
        for number in range(1, 4):
            await deliver(services, order_id=f"o-{number}")
            advance(services, DAY)
        assert await kept(services) == {
            "order:o-1:first_two": 10,
            "order:o-1:first_two+double": 10,
            "order:o-2:first_two": 20,
            "order:o-2:first_two+double": 20,
        }
        await cancel(services, order_id="o-1")
        assert await kept(services) == {
            "order:o-1:first_two": 0,
            "order:o-1:first_two+double": 0,
            "order:o-2:first_two": 20,
            "order:o-2:first_two+double": 20,
            "order:o-3:first_two": 30,
            "order:o-3:first_two+double": 30,
        }


@pytest.mark.parametrize(
    "boosts",
    [
        None,
        '[{"id": "tier:gold", "key": "tier:spend", "multiply": "2", "code": "tier_boost",'
        ' "facts": {"group": "spend", "level": "gold"}}]',
    ],
)
def test_what_earlier_releases_stored_is_read(boosts: str | None) -> None:
    paid = (
        '{"order_id": "o", "channel": "web", "payment": {"method": "card"}, "currency": "INR",'
        ' "lines": [{"line_id": "a", "product_id": "p", "quantity": 1, "paid": 5}]}'
    )
    facts = facts_of_row((NOON, paid, None, "1", "Asia/Kolkata", None, None, "[]", boosts))
    assert facts.paid is not None
    assert [(each.key, each.campaign, each.lines) for each in facts.paid.boosts] == (
        [] if boosts is None else [("tier:spend", None, None)]
    )
