"""A program to play with, in two versions, and members who do things in it.

The program has every kind of limit: one activity that two and three rules are about, slots that are shared,
windows of days and months, and a country whose zone the second version changes.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from engage.clock import Clock, StoppedClock
from engage.domain.activity import AnyActivity, FuelTap, Review, Share
from engage.flows.activities.record import Act, Recorded, record
from engage.flows.members.register import MemberRegistration, RegisteredMember, register_member
from engage.flows.programs.publish import publish
from engage.flows.shop.events import (
    AppSignedInEvent,
    ReviewRemoved,
    ReviewRemovedEvent,
    ShareRemoved,
    ShareRemovedEvent,
)
from engage.runtime.services import Services, open_services
from engage.settings import Settings
from tests.support.clock import NOON

PROGRAM = "playground"

_numbers = count(1)

_BODY = """
id = "playground"
title = "All kinds of rules"
eligibility = { min_age = 18 }
expiry = { type = "rolling", months = 12 }

[[rules]]
id = "registration"
title = "Join"
on = { activity = "registration" }
limit = { type = "once" }
award = { type = "fixed", points = 50 }
due = { type = "after", delay = "PT5M" }

[[rules]]
id = "app_sign_in"
title = "Sign in"
on = { activity = "app_sign_in" }
limit = { type = "once" }
award = { type = "fixed", points = 30 }
due = { type = "after", delay = "PT5M" }

[[rules]]
id = "fuel"
title = "Fuel"
on = { activity = "fuel_tap" }
limit = { type = "daily_streak" }
award = { type = "fixed", points = 2 }
due = { type = "after", delay = "PT5M" }

[[rules]]
id = "fuel_streak"
title = "Three days of fuel"
on = { activity = "fuel_tap" }
limit = { type = "same_as", rule = "fuel" }
award = { type = "every_nth_day", points = 20, days = 3 }
due = { type = "after", delay = "PT5M" }

[[rules]]
id = "share_social"
title = "Share on a network"
on = { activity = "share", kind = "social" }
limit = { type = "per_window", count = 3, window = "month" }
award = { type = "fixed", points = 5 }
due = { type = "after", delay = "PT1H" }

[[rules]]
id = "share_link"
title = "Share a link"
on = { activity = "share", kind = "link" }
limit = { type = "per_window", count = 2, window = "day" }
award = { type = "fixed", points = 10 }
due = { type = "after", delay = "PT5M" }

[[rules]]
id = "share_any"
title = "Share anything"
on = { activity = "share" }
limit = { type = "per_window", count = 6, window = "month" }
award = { type = "fixed", points = 1 }
due = { type = "after", delay = "P1D" }

[[rules]]
id = "share_thanks"
title = "Thanks for a share"
on = { activity = "share", kind = "link" }
limit = { type = "same_as", rule = "share_any" }
award = { type = "fixed", points = 3 }
due = { type = "after", delay = "PT5M" }

[[rules]]
id = "first_link"
title = "The first link"
on = { activity = "share", kind = "link" }
limit = { type = "once" }
award = { type = "fixed", points = 7 }
due = { type = "after", delay = "PT5M" }

[[rules]]
id = "review"
title = "Review"
on = { activity = "review" }
limit = { type = "once_per", field = "product_id" }
award = { type = "fixed", points = 20 }
due = { type = "after", delay = "PT5M" }
"""

FIRST = f"""
version = "first"
in_force_from = 2020-01-01
{_BODY}
[countries]
ES = {{ zone = "Europe/Madrid", currency = "EUR" }}
GB = {{ zone = "Europe/London", currency = "GBP" }}
NZ = {{ zone = "Pacific/Auckland", currency = "NZD" }}
"""

_OTHER_BODY = _BODY.replace('count = 3, window = "month"', 'count = 2, window = "month"').replace(
    'count = 2, window = "day"', 'count = 3, window = "day"'
)

# Smaller and larger limits, a rule that shares a slot, and a country whose days are other days.
SECOND_FROM = datetime(2026, 11, 25, tzinfo=UTC)
SECOND = f"""
version = "second"
in_force_from = 2026-11-25
{_OTHER_BODY}
[[rules]]
id = "more_thanks"
title = "More thanks for a share"
on = {{ activity = "share" }}
limit = {{ type = "same_as", rule = "share_any" }}
award = {{ type = "fixed", points = 2 }}
due = {{ type = "after", delay = "PT5M" }}

[countries]
ES = {{ zone = "Europe/Madrid", currency = "EUR" }}
GB = {{ zone = "Europe/London", currency = "GBP" }}
NZ = {{ zone = "America/Los_Angeles", currency = "NZD" }}
"""


@asynccontextmanager
async def publishing(
    settings: Settings, *documents: str, clock: Clock | None = None
) -> AsyncIterator[Services]:
    """The parts of one process, with these documents published; the clock stands at NOON if none is given."""
    async with open_services(settings, clock or StoppedClock(NOON)) as services:
        for document in documents:
            await publish(services.db, document, source="test", now=NOON)
        await services.programs.refresh(services.db)
        yield services


@asynccontextmanager
async def playing(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Services]:
    """The parts of one process, with the playground published."""
    async with publishing(settings, FIRST, SECOND, clock=clock) as services:
        yield services


async def join(services: Services, member_id: str = "m-1", country: str = "ES") -> RegisteredMember:
    return await register_member(
        services, MemberRegistration(member_id=member_id, program=PROGRAM, country=country)
    )


def act(services: Services, activity: AnyActivity, member_id: str = "m-1") -> Act:
    return Act(PROGRAM, member_id, activity, services.clock.now())


async def do(services: Services, activity: AnyActivity, member_id: str = "m-1") -> Recorded:
    """Raises what the activity is refused with."""
    (answer,) = await record(services, [act(services, activity, member_id)])
    if isinstance(answer, Exception):
        raise answer
    return answer


def advance(services: Services, by: timedelta) -> datetime:
    assert isinstance(services.clock, StoppedClock)
    return services.clock.advance(by)


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
    return ReviewRemovedEvent(**_event(services, member_id, at), data=ReviewRemoved(review_id=review_id))


def share_removed(
    services: Services, share_id: str, member_id: str = "m-1", *, at: datetime | None = None
) -> ShareRemovedEvent:
    return ShareRemovedEvent(**_event(services, member_id, at), data=ShareRemoved(share_id=share_id))


def _event(services: Services, member_id: str, at: datetime | None) -> dict[str, Any]:
    """Each has an id of its own."""
    return {
        "id": f"e-{next(_numbers)}",
        "time": at or services.clock.now(),
        "program": PROGRAM,
        "member_id": member_id,
    }


async def rows(db: AsyncEngine, query: str, **values: object) -> list[tuple[object, ...]]:
    async with db.connect() as conn:
        return [tuple(row) for row in await conn.execute(text(query), values)]


async def keys_of(services: Services, member_id: str = "m-1") -> list[str]:
    """The source keys of a member's credits, in order."""
    found = await rows(
        services.db,
        "SELECT source_key FROM credits WHERE member_id = :member AND points > 0 ORDER BY 1",
        member=member_id,
    )
    return [str(key) for (key,) in found]
