"""A program with every kind of limit, in two versions, and members who do activities in it.

One activity has two and three rules, slots are shared, windows are days and months, and the second version
changes the zone of a country.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import count
from typing import Any

from engage.clock import Clock
from engage.domain.activity import AnyActivity, FuelTap, Review, Share
from engage.flows.activities.activity import MemberActivity, RecordedActivity
from engage.flows.activities.record import record
from engage.flows.members.register import MemberRegistration, RegisteredMember, register_member
from engage.flows.shop.events import (
    AppSignedInEvent,
    ReviewPublishedEvent,
    ReviewReference,
    ReviewRemovedEvent,
    ShareConfirmedEvent,
    ShareReference,
    ShareRemovedEvent,
)
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.database import rows
from tests.support.programs import IN_FIVE_MINUTES, rule, services_with

PROGRAM = "playground"

_numbers = count(1)

_HEAD = """
id = "playground"
title = "All kinds of rules"
eligibility = { min_age = 18, person_ref = "optional" }
expiry = { type = "rolling", months = 12 }
"""


def _rules(*, socials: int, links: int, capped: bool = False) -> str:
    """The rules of both versions. `socials` are shares on networks a month, `links` are links a day.

    `capped`: most rules have a further limit, and reviews wait for the shop's word.
    """

    def cap(count: int, window: str) -> str | None:
        return f'type = "per_window", count = {count}, window = "{window}"' if capped else None

    return "".join(
        [
            rule("registration", 'activity = "registration"', 'type = "once"', 50),
            rule("app_sign_in", 'activity = "app_sign_in"', 'type = "once"', 30),
            rule("fuel", 'activity = "fuel_tap"', 'type = "daily_streak"', 2, also=cap(4, "month")),
            rule(
                "fuel_streak",
                'activity = "fuel_tap"',
                'type = "same_as", rule = "fuel"',
                'type = "every_nth_day", points = 20, days = 3',
            ),
            rule(
                "share_social",
                'activity = "share", kind = "social"',
                f'type = "per_window", count = {socials}, window = "month"',
                5,
                due='type = "after", delay = "PT1H"',
                also=cap(2, "day"),
            ),
            rule(
                "share_link",
                'activity = "share", kind = "link"',
                f'type = "per_window", count = {links}, window = "day"',
                10,
                also=cap(5, "month"),
            ),
            rule(
                "share_any",
                'activity = "share"',
                'type = "per_window", count = 6, window = "month"',
                1,
                due='type = "after", delay = "P1D"',
                also=cap(3, "day"),
            ),
            rule(
                "share_thanks", 'activity = "share", kind = "link"', 'type = "same_as", rule = "share_any"', 3
            ),
            rule("first_link", 'activity = "share", kind = "link"', 'type = "once"', 7),
            rule(
                "review",
                'activity = "review"',
                'type = "once_per", field = "product_id"',
                20,
                due='type = "on_confirmation", within = "P2D"' if capped else IN_FIVE_MINUTES,
                also=cap(2, "day"),
            ),
        ]
    )


def _version(name: str, since: str, rules: str, *, zone_of_nz: str) -> str:
    countries = f"""
[countries]
ES = {{ zone = "Europe/Madrid", currency = "EUR" }}
GB = {{ zone = "Europe/London", currency = "GBP" }}
NZ = {{ zone = "{zone_of_nz}", currency = "NZD" }}
"""
    return f'version = "{name}"\nin_force_from = {since}\n{_HEAD}{rules}{countries}'


# Smaller and larger limits, a rule that shares a slot, and a country whose days are other days.
SECOND_FROM = datetime(2026, 11, 25, tzinfo=UTC)


def _documents(*, capped: bool) -> tuple[str, str]:
    more_thanks = rule("more_thanks", 'activity = "share"', 'type = "same_as", rule = "share_any"', 2)
    return (
        _version(
            "first",
            "2020-01-01",
            _rules(socials=3, links=2, capped=capped),
            zone_of_nz="Pacific/Auckland",
        ),
        _version(
            "second",
            "2026-11-25",
            _rules(socials=2, links=3, capped=capped) + more_thanks,
            zone_of_nz="America/Los_Angeles",
        ),
    )


FIRST, SECOND = _documents(capped=False)
CAPPED = _documents(capped=True)


@asynccontextmanager
async def services_with_activities(
    settings: Settings, clock: Clock | None = None, *, capped: bool = False
) -> AsyncIterator[Services]:
    """Open services with both versions published. The clock stands at NOON by default."""
    async with services_with(settings, *(CAPPED if capped else (FIRST, SECOND)), clock=clock) as services:
        yield services


async def join(services: Services, member_id: str = "m-1", country: str = "ES") -> RegisteredMember:
    return await register_member(
        services, MemberRegistration(member_id=member_id, program=PROGRAM, country=country)
    )


def act(services: Services, activity: AnyActivity, member_id: str = "m-1") -> MemberActivity:
    return MemberActivity(PROGRAM, member_id, activity, services.clock.now())


async def perform(services: Services, activity: AnyActivity, member_id: str = "m-1") -> RecordedActivity:
    """Record one activity. Raises Refusal."""
    (answer,) = await record(services, [act(services, activity, member_id)])
    if isinstance(answer, Exception):
        raise answer
    return answer


def tap() -> FuelTap:
    return FuelTap()


def link(share_id: str | None = None) -> Share:
    return Share(kind="link", product_id="band", share_id=share_id)


def social(share_id: str | None = None) -> Share:
    return Share(kind="social", product_id="band", share_id=share_id)


def review(product_id: str = "band", review_id: str = "r-1") -> Review:
    return Review(product_id=product_id, review_id=review_id)


def signed_in(services: Services, member_id: str = "m-1", *, at: datetime | None = None) -> AppSignedInEvent:
    return AppSignedInEvent(**_event(services, member_id, at))


def review_removed(
    services: Services, review_id: str, member_id: str = "m-1", *, at: datetime | None = None
) -> ReviewRemovedEvent:
    return ReviewRemovedEvent(**_event(services, member_id, at), data=ReviewReference(review_id=review_id))


def review_published(
    services: Services, review_id: str, member_id: str = "m-1", *, at: datetime | None = None
) -> ReviewPublishedEvent:
    return ReviewPublishedEvent(**_event(services, member_id, at), data=ReviewReference(review_id=review_id))


def share_confirmed(
    services: Services, share_id: str, member_id: str = "m-1", *, at: datetime | None = None
) -> ShareConfirmedEvent:
    return ShareConfirmedEvent(**_event(services, member_id, at), data=ShareReference(share_id=share_id))


def share_removed(
    services: Services, share_id: str, member_id: str = "m-1", *, at: datetime | None = None
) -> ShareRemovedEvent:
    return ShareRemovedEvent(**_event(services, member_id, at), data=ShareReference(share_id=share_id))


def _event(services: Services, member_id: str, at: datetime | None) -> dict[str, Any]:
    """Make the envelope of an event, with a new id."""
    return {
        "id": f"e-{next(_numbers)}",
        "time": at or services.clock.now(),
        "program": PROGRAM,
        "member_id": member_id,
    }


async def source_keys(services: Services, member_id: str = "m-1") -> list[str]:
    """Return the source keys of a member's credits, in order."""
    found = await rows(
        services.db,
        "SELECT source_key FROM credits WHERE member_id = :member AND points > 0 ORDER BY 1",
        member=member_id,
    )
    return [str(key) for (key,) in found]
