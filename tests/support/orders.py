"""A program with rules about orders, and the events that the shop sends of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from msgspec import UNSET

from engage.clock import Clock
from engage.domain.activity import Line, Payment, Review
from engage.domain.earning.order_facts import ReturnedLine
from engage.flows.activities.activity import MemberActivity
from engage.flows.activities.record import record
from engage.flows.members.register import MemberRegistration, register_member
from engage.flows.scheduled.settle import settle_due
from engage.flows.shop.events import (
    AnyEvent,
    OrderCancelledEvent,
    OrderDeliveredEvent,
    OrderPaid,
    OrderPaidEvent,
    OrderReference,
    OrderReturned,
    OrderReturnedEvent,
    ReviewReference,
    ReviewRemovedEvent,
)
from engage.flows.shop.take_events import take_events
from engage.ledger.accounts import open_accounts
from engage.ledger.holds import Hold, add_hold
from engage.runtime.ids import new_id
from engage.runtime.posting import open_posting
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.database import rows
from tests.support.programs import rule, services_with

PROGRAM = "corner-shop"

DOCUMENT = (
    """
id = "corner-shop"
version = "1"
title = "Orders"
in_force_from = 2020-01-01
eligibility = { min_age = 18, person_ref = "optional" }
expiry = { type = "rolling", months = 12 }
grace = "P10D"
worth = { points = 1, minor = 1 }
checkout = { orders = { promotion_lines = false } }
countries.ES = { zone = "Europe/Madrid", currency = "EUR" }
countries.GB = { zone = "Europe/London", currency = "GBP" }
"""
    + rule(
        "purchase",
        'activity = "order"',
        'type = "once_per", field = "order_id"',
        'type = "per_spend", points = 1, step_minor = 100, shipping = true',
        due='type = "on_delivery"',
        orders='channels = ["web", "app"]',
    )
    + rule(
        "tags",
        'activity = "order"',
        'type = "once_per", field = "order_id"',
        'type = "tag_points"',
        due='type = "next_day"',
        orders="promotion_lines = false",
    )
    + rule("review", 'activity = "review"', 'type = "once_per", field = "product_id"', 20)
)

_numbers = count(1)


@asynccontextmanager
async def services_with_orders(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Services]:
    """Open services with the program published. The clock stands at NOON by default."""
    async with services_with(settings, DOCUMENT, clock=clock) as services:
        yield services


async def join(services: Services, member_id: str = "m-1", country: str = "ES") -> None:
    await register_member(services, MemberRegistration(member_id=member_id, program=PROGRAM, country=country))


def line(line_id: str = "1", paid: int = 1000, quantity: int = 1, **rest: Any) -> Line:
    return Line(line_id=line_id, product_id="band", paid=paid, quantity=quantity, **rest)


def paid(services: Services, *lines: Line, order_id: str = "o-1", **rest: Any) -> OrderPaidEvent:
    """Make the event of a paid order, of 10 euros by default."""
    fields: dict[str, Any] = {"channel": "web", "payment": Payment(method="card"), "currency": "EUR"}
    event = {name: rest.pop(name) for name in ("member_id", "at") if name in rest}
    order = OrderPaid(order_id=order_id, **(fields | {"lines": list(lines) or [line()]} | rest))
    return OrderPaidEvent(**_event(services, **event), data=order)


def delivered(services: Services, order_id: str = "o-1", **event: Any) -> OrderDeliveredEvent:
    return OrderDeliveredEvent(**_event(services, **event), data=OrderReference(order_id=order_id))


def cancelled(services: Services, order_id: str = "o-1", **event: Any) -> OrderCancelledEvent:
    return OrderCancelledEvent(**_event(services, **event), data=OrderReference(order_id=order_id))


def returned(
    services: Services,
    back: dict[str, int] | None = None,
    *,
    order_id: str = "o-1",
    return_id: str = "",
    **event: Any,
) -> OrderReturnedEvent:
    """Make the event of a return. `back` has quantities by line; by default everything is returned."""
    lines = UNSET if back is None else [ReturnedLine(line_id, quantity) for line_id, quantity in back.items()]
    facts = OrderReturned(order_id=order_id, return_id=return_id or f"r-{next(_numbers)}", lines=lines)
    return OrderReturnedEvent(**_event(services, **event), data=facts)


def review_removed(services: Services, review_id: str) -> ReviewRemovedEvent:
    return ReviewRemovedEvent(**_event(services), data=ReviewReference(review_id=review_id))


def _event(services: Services, member_id: str = "m-1", at: datetime | None = None) -> dict[str, Any]:
    return {
        "id": f"e-{next(_numbers)}",
        "time": at or services.clock.now(),
        "program": PROGRAM,
        "member_id": member_id,
    }


async def send_events(services: Services, *events: AnyEvent) -> list[str]:
    """Send events, and return the codes of those that were refused."""
    taken = await take_events(services, events)
    assert taken.accepted + taken.repeated + len(taken.refused) == len(events)
    return [refused.code for refused in taken.refused.values()]


async def buy(services: Services, *lines: Line, **rest: Any) -> None:
    """Buy and deliver an order, and settle what is due."""
    order_id, member_id = rest.get("order_id", "o-1"), rest.get("member_id", "m-1")
    events: list[AnyEvent] = [
        paid(services, *lines, **rest),
        delivered(services, order_id, member_id=member_id),
    ]
    assert await send_events(services, *events) == []
    await settle_due(services, now=services.clock.now())


async def write_review(services: Services, review_id: str = "r-1", member_id: str = "m-1") -> None:
    activity = Review(product_id=review_id, review_id=review_id)
    (answer,) = await record(services, [MemberActivity(PROGRAM, member_id, activity, services.clock.now())])
    assert not isinstance(answer, Exception), answer


async def spend(
    services: Services,
    points: int,
    order_id: str | None = None,
    *,
    member_id: str = "m-1",
    capture: bool = True,
) -> UUID:
    """Hold points for an order, and capture them at once by default."""
    key, now, hold_id = (PROGRAM, member_id), services.clock.now(), new_id()
    async with open_posting(services, cause="held") as posting:
        accounts = await open_accounts(posting.conn, [key], now=now)
        account = accounts.by_key[key]
        takes = account.hold(points, hold_id, now)
        if capture:
            account.capture(takes, hold_id, now)
        hold = Hold(
            program_id=PROGRAM,
            member_id=member_id,
            id=hold_id,
            purpose="checkout",
            state="captured" if capture else "open",
            points=points,
            order_id=order_id,
            discount_minor=points,
            currency="EUR",
            created_at=now,
            expires_at=now + timedelta(days=1),
            closed_at=now if capture else None,
        )
        await add_hold(posting.conn, hold)
        await posting.post(accounts)
    return hold_id


async def balance(services: Services, member_id: str = "m-1") -> dict[str, int]:
    """Return the fields of a member's balance that are not zero."""
    (found,) = await rows(
        services.db, "SELECT active, pending, held, debt FROM balances WHERE member_id = :m", m=member_id
    )
    return {
        name: int(str(value))
        for name, value in zip(("active", "pending", "held", "debt"), found, strict=True)
        if value
    }


async def credits(services: Services, member_id: str = "m-1") -> list[tuple[object, ...]]:
    """Return (rule, state, points, taken back) of each credit, in order of source keys."""
    return await rows(
        services.db,
        """SELECT rule_id, state, points, taken_back FROM credits
           WHERE member_id = :m ORDER BY source_key""",
        m=member_id,
    )
