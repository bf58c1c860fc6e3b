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
    ReviewRemoved,
    ReviewRemovedEvent,
    ShareRemoved,
    ShareRemovedEvent,
)
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.database import rows
from tests.support.programs import services_with

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
async def services_with_activities(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Services]:
    """Open services with both versions published. The clock stands at NOON by default."""
    async with services_with(settings, FIRST, SECOND, clock=clock) as services:
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
    return ReviewRemovedEvent(**_event(services, member_id, at), data=ReviewRemoved(review_id=review_id))


def share_removed(
    services: Services, share_id: str, member_id: str = "m-1", *, at: datetime | None = None
) -> ShareRemovedEvent:
    return ShareRemovedEvent(**_event(services, member_id, at), data=ShareRemoved(share_id=share_id))


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
