"""A program with two groups of levels, and members who buy, tap and review in it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import count
from typing import Any

from msgspec import UNSET

from engage.clock import Clock
from engage.domain.activity import AnyActivity, FuelTap, Line, Payment, Review
from engage.domain.earning.order_facts import ReturnedLine
from engage.flows.activities.activity import CreditView, MemberActivity, RecordedActivity
from engage.flows.activities.record import record
from engage.flows.members.register import MemberRegistration, register_member
from engage.flows.reads.home import read_home
from engage.flows.scheduled.reactions import react_due
from engage.flows.shop.events import (
    AnyEvent,
    OrderDeliveredEvent,
    OrderPaid,
    OrderPaidEvent,
    OrderReference,
    OrderReturned,
    OrderReturnedEvent,
)
from engage.flows.shop.take_events import take_events
from engage.flows.tiers.views import TierView
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.database import rows
from tests.support.programs import rule, services_with

PROGRAM = "club"

HEAD = """
id = "club"
version = "1"
title = "Club"
in_force_from = 2020-01-01
eligibility = { min_age = 18, person_ref = "optional" }
expiry = { type = "rolling", months = 12 }
countries.IN = { zone = "Asia/Kolkata", currency = "INR" }
"""

RULES = (
    rule(
        "purchase",
        'activity = "order"',
        'type = "once_per", field = "order_id"',
        'type = "per_spend", points = 1, step_minor = 100',
        due='type = "on_delivery"',
    )
    + rule("fuel", 'activity = "fuel_tap"', 'type = "daily_streak"', 3)
    + rule(
        "fuel_bonus",
        'activity = "fuel_tap"',
        'type = "same_as", rule = "fuel"',
        'type = "every_nth_day", points = 10, days = 2',
    )
    + rule("review", 'activity = "review"', 'type = "once_per", field = "product_id"', 20)
    + rule("review_status", 'activity = "review"', 'type = "once_per", field = "product_id"', 5)
    + 'unit = "status"\n'
    + rule(
        "order_status",
        'activity = "order"',
        'type = "once_per", field = "order_id"',
        'type = "per_spend", points = 1, step_minor = 10_000',
    )
    + 'unit = "status"\n'
)

TIERS = """
[[tier_groups]]
id = "spend"
metric = "spend_minor"
window = "calendar_year"
grace = "P30D"

[[tier_groups.levels]]
id = "blue"
title = { en = "Blue", de = "Blau" }
from = 0

[[tier_groups.levels]]
id = "silver"
title = { en = "Silver", de = "Silber" }
from = 100_00
benefits = { multiply = 1.5, express_delivery = true }

[[tier_groups.levels]]
id = "gold"
title = { en = "Gold" }
from = 300_00
benefits = { multiply = 2, express_delivery = true, early_access = "PT24H" }

[[tier_groups]]
id = "fans"
metric = "status"
window = "rolling_12_months"

[[tier_groups.levels]]
id = "fan"
title = { en = "Fan" }
from = 10
benefits = { early_access = "PT48H", lounge = "north" }
"""

DOCUMENT = HEAD + RULES + TIERS

_numbers = count(1)


@asynccontextmanager
async def services_with_tiers(
    settings: Settings, document: str = DOCUMENT, clock: Clock | None = None
) -> AsyncIterator[Services]:
    """Open services with the program published. The clock stands at NOON by default."""
    async with services_with(settings, document, clock=clock) as services:
        yield services


async def join(services: Services, member_id: str = "m-1") -> None:
    await register_member(services, MemberRegistration(member_id=member_id, program=PROGRAM, country="IN"))


def _event(services: Services, member_id: str, at: datetime | None) -> dict[str, Any]:
    named = {"id": f"tier-{next(_numbers)}", "program": PROGRAM, "member_id": member_id}
    return named | {"time": at or services.clock.now()}


def paid(
    services: Services, order_id: str, *amounts: int, member_id: str = "m-1", at: datetime | None = None
) -> OrderPaidEvent:
    """Make the event of an order with a line for each amount, in paise."""
    lines = [
        Line(line_id=str(n), product_id="p", paid=amount, quantity=1) for n, amount in enumerate(amounts)
    ]
    data = OrderPaid(
        order_id=order_id, channel="web", payment=Payment(method="card"), lines=lines, currency="INR"
    )
    return OrderPaidEvent(**_event(services, member_id, at), data=data)


def delivered(services: Services, order_id: str, member_id: str = "m-1") -> OrderDeliveredEvent:
    return OrderDeliveredEvent(**_event(services, member_id, None), data=OrderReference(order_id=order_id))


def returned(
    services: Services, order_id: str, *lines: str, member_id: str = "m-1", at: datetime | None = None
) -> OrderReturnedEvent:
    """Make the event of returned lines, or without any of the whole order."""
    back = [ReturnedLine(line, 1) for line in lines] or UNSET
    data = OrderReturned(order_id=order_id, return_id=f"r-{next(_numbers)}", lines=back)
    return OrderReturnedEvent(**_event(services, member_id, at), data=data)


async def send(services: Services, *events: AnyEvent) -> None:
    assert not (await take_events(services, list(events))).refused


async def act(
    services: Services, activity: AnyActivity, member_id: str = "m-1", at: datetime | None = None
) -> list[CreditView]:
    named = MemberActivity(PROGRAM, member_id, activity, at or services.clock.now())
    (answer,) = await record(services, [named])
    assert isinstance(answer, RecordedActivity), answer
    return answer.credits


async def tap(services: Services, member_id: str = "m-1", at: datetime | None = None) -> list[CreditView]:
    return await act(services, FuelTap(), member_id, at)


async def review(
    services: Services, review_id: str, member_id: str = "m-1", at: datetime | None = None
) -> list[CreditView]:
    return await act(services, Review(product_id=review_id, review_id=review_id), member_id, at)


def shown(credits: Sequence[CreditView]) -> list[tuple[str, int, str, str | None]]:
    found = ((credit.rule, credit.points, credit.unit, credit.boost) for credit in credits)
    return sorted(found, key=lambda credit: (credit[0], credit[3] or ""))


async def tiers(services: Services, member_id: str = "m-1", language: str = "en") -> dict[str, TierView]:
    """The home screen's tiers, by group."""
    home = await read_home(services, PROGRAM, member_id, language=language)
    assert home.tier == (home.tiers[0] if home.tiers else None)
    return {tier.group: tier for tier in home.tiers}


async def level(services: Services, member_id: str = "m-1", group: str = "spend") -> str | None:
    return (await tiers(services, member_id))[group].level


async def react(services: Services) -> None:
    await react_due(services, now=services.clock.now())


async def stored_credits(services: Services, member_id: str = "m-1") -> dict[str, tuple[object, ...]]:
    """(state, points, taken back, unit, boost) by source key."""
    found = await rows(
        services.db,
        "SELECT source_key, state, points, taken_back, unit, boost FROM credits"
        " WHERE program_id = :p AND member_id = :m",
        p=PROGRAM,
        m=member_id,
    )
    return {str(key): tuple(rest) for key, *rest in found}
