"""The shop with taps and rewards, challenges that operators add to it, and what comes of them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import count
from typing import Any

import msgspec

from engage.clock import Clock
from engage.domain.activity import AnyActivity, FuelTap, Review
from engage.domain.challenges.definition import Challenge
from engage.domain.challenges.kind import CHALLENGE
from engage.flows.activities.activity import MemberActivity
from engage.flows.activities.record import record
from engage.flows.challenges.read import ChallengeView, read_challenges
from engage.flows.definitions.change import add_definition, change_definition
from engage.flows.scheduled.reactions import react_due
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support import orders
from tests.support.database import rows
from tests.support.orders import PROGRAM
from tests.support.programs import rule, services_with

TAPS = {"kind": "count", "activity": "fuel_tap"}
REVIEWS = {"kind": "count", "activity": "review"}

# A tap on each day, a review that waits for the shop's word, and two coupons.
DOCUMENT = (
    orders.DOCUMENT.replace(
        "\n[[rules]]",
        """
countries.NZ = { zone = "Pacific/Auckland", currency = "EUR" }

[[rewards]]
type = "coupon"
id = "five_off"
title = "5 euros off"
points = 500
value_minor = 500
stock = 2

[[rules]]""",
        1,
    )
    + rule("fuel", 'activity = "fuel_tap"', 'type = "daily_streak"', 2)
    + rule(
        "share",
        'activity = "share"',
        'type = "per_window", count = 5, window = "day"',
        5,
        due='type = "on_confirmation", within = "P2D"',
    )
)

_numbers = count(1)


@asynccontextmanager
async def services_with_challenges(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Services]:
    async with services_with(settings, DOCUMENT, clock=clock) as services:
        yield services


def document(**changes: Any) -> Challenge:
    """Two reviews for 10 points, three for 30."""
    fields = {
        "id": "critic",
        "program": PROGRAM,
        "title": {"en": "Critic", "de": "Kritik"},
        "goal": REVIEWS,
        "steps": [{"at": 2, "points": 10}, {"at": 3, "points": 30}],
    }
    return msgspec.convert(fields | changes, Challenge)


async def define(services: Services, **changes: Any) -> None:
    await add_definition(services, CHALLENGE, document(**changes), operator="key-1")


async def redefine(services: Services, number: int, **changes: Any) -> None:
    """Add another version beside the one of this number, the newest."""
    await change_definition(
        services, CHALLENGE, document(**changes), expected_version=number, operator="key-1"
    )


async def do(
    services: Services, *activities: AnyActivity, member_id: str = "m-1", at: datetime | None = None
) -> None:
    """Record activities, now or at an earlier time. What follows from them is not done yet."""
    done = [MemberActivity(PROGRAM, member_id, each, at or services.clock.now()) for each in activities]
    for answer in await record(services, done):
        assert not isinstance(answer, Exception), answer


async def tap(services: Services, **rest: Any) -> None:
    await do(services, FuelTap(), **rest)


async def write_reviews(services: Services, *review_ids: str, **rest: Any) -> None:
    await do(services, *(Review(product_id=id_, review_id=id_) for id_ in review_ids), **rest)


async def react(services: Services) -> int:
    return await react_due(services, now=services.clock.now())


async def paid_steps(services: Services, member_id: str = "m-1") -> list[tuple[str, str, int]]:
    """Return (source key, state, points) of the credits of challenges, in order."""
    found = await rows(
        services.db,
        """SELECT source_key, state, points FROM credits
           WHERE member_id = :m AND why -> 'activity' ->> 'activity' = 'challenge_step' AND points > 0
           ORDER BY 1""",
        m=member_id,
    )
    return [(str(key), str(state), int(str(points))) for key, state, points in found]


async def shown(services: Services, member_id: str = "m-1", language: str = "en") -> list[ChallengeView]:
    return await read_challenges(services, PROGRAM, member_id, language=language)


async def progress(services: Services, member_id: str = "m-1") -> dict[str, int]:
    return {view.id: view.progress for view in await shown(services, member_id)}


async def coupons(services: Services, member_id: str = "m-1") -> Sequence[str]:
    found = await rows(services.db, "SELECT state FROM coupons WHERE member_id = :m ORDER BY id", m=member_id)
    return [str(state) for (state,) in found]
