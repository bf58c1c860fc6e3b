"""A campaign begins and ends by time alone, in each country at its own local time, to the second.

Its days contain the change of the clocks in Spain and in the United Kingdom. Members of four countries tap a
second before, at and a second after each instant at which anything changes for any of them: when it happens,
or all of them reported days later to another process.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
import pytest

from engage.domain.activity import AnyActivity, FuelTap, Review
from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.lifecycle import ActionKind
from engage.flows.activities.activity import MemberActivity, RecordedActivity
from engage.flows.activities.record import record
from engage.flows.campaigns.act import act
from engage.flows.campaigns.change import create
from engage.flows.campaigns.overview import Wanted, list_campaigns
from engage.flows.campaigns.read import show_campaign
from engage.flows.members.register import MemberRegistration, register_member
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.audit import assert_audit_is_clean
from tests.support.campaigns import boost, document, operator
from tests.support.clock import StoppedClock, stopped_clock
from tests.support.database import rows
from tests.support.programs import rule, services_with

PROGRAM: Final = "markets"
KEY: Final = PROGRAM, "spring"
ZONES: Final = {
    "BY": "Europe/Minsk",
    "ES": "Europe/Madrid",
    "GB": "Europe/London",
    "IN": "Asia/Kolkata",
}
MARKETS: Final = (
    """
id = "markets"
version = "1"
title = "Markets"
in_force_from = 2020-01-01
eligibility = { min_age = 0, person_ref = "optional" }
expiry = { type = "rolling", months = 12 }
"""
    + "".join(
        f'countries.{country} = {{ zone = "{zone}", currency = "EUR" }}\n' for country, zone in ZONES.items()
    )
    + rule("fuel", 'activity = "fuel_tap"', 'type = "daily_streak"', 2)
    + rule("review", 'activity = "review"', 'type = "once_per", field = "product_id"', 20)
)
BEGINS: Final = datetime(2026, 3, 27)  # noqa: DTZ001  # Local times, as in a document.
ENDS: Final = datetime(2026, 3, 30)  # noqa: DTZ001
APPROVED: Final = datetime(2026, 3, 20, 12, tzinfo=UTC)
PAUSING: Final[list[tuple[datetime, ActionKind]]] = [
    (datetime(2026, 3, 28, 12, 0, 0, 1, tzinfo=UTC), "paused"),
    (datetime(2026, 3, 28, 13, tzinfo=UTC), "resumed"),
]
# In force a second later, at the next whole one.
PAUSE: Final = datetime(2026, 3, 28, 12, 0, 2, tzinfo=UTC), datetime(2026, 3, 28, 13, 0, 1, tzinfo=UTC)
SECOND: Final = timedelta(seconds=1)


def window(country: str, zone: str = "member") -> tuple[datetime, datetime]:
    """The instants at which it begins and ends in a country."""
    local = ZoneInfo(ZONES[country] if zone == "member" else zone)
    return BEGINS.replace(tzinfo=local).astimezone(UTC), ENDS.replace(tzinfo=local).astimezone(UTC)


def instants(zone: str) -> list[datetime]:
    edges = {*PAUSE, *(edge for country in ZONES for edge in window(country, zone))}
    return sorted({edge + n * SECOND for edge in edges for n in (-1, 0, 1)})


def is_in_force(country: str, at: datetime, zone: str) -> bool:
    begin, end = window(country, zone)
    return begin <= at < end and not PAUSE[0] <= at < PAUSE[1]


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with services_with(settings, MARKETS, clock=StoppedClock(APPROVED)) as opened:
        yield opened
        await assert_audit_is_clean(opened)


@pytest.fixture
async def other(settings: Settings, services: Services) -> AsyncIterator[Services]:
    async with services_with(settings, clock=services.clock) as opened:
        yield opened


def campaign(zone: str, **changes: Any) -> Campaign:
    fields: dict[str, Any] = {
        "program": PROGRAM,
        "from": BEGINS.isoformat(),
        "until": ENDS.isoformat(),
        "zone": zone,
        "boosts": [boost("fuel", "review", add=5)],
    }
    return msgspec.convert(document("spring", **(fields | changes)), Campaign)


async def publish(services: Services, zone: str, **changes: Any) -> None:
    await create(services, campaign(zone, **changes), operator=operator("author"))
    await move(services, "submitted")
    await move(services, "approved")


async def move(services: Services, kind: ActionKind) -> None:
    await act(services, KEY, kind, operator=operator("lead"))


async def join_everywhere(services: Services, times: list[datetime]) -> None:
    """Register a member for each country and instant."""
    for country in ZONES:
        for at in times:
            member = MemberRegistration(member_id=name(country, at), program=PROGRAM, country=country)
            await register_member(services, member)


def name(country: str, at: datetime) -> str:
    return f"{country}-{at:%d-%H-%M-%S}"


async def tap(services: Services, at: datetime) -> None:
    """Let the members of an instant tap, and write a review."""
    activities: list[AnyActivity] = [FuelTap(), Review(product_id="p", review_id="r")]
    for activity in activities:
        batch = [MemberActivity(PROGRAM, name(country, at), activity, at) for country in ZONES]
        answers = await record(services, batch)
        assert all(isinstance(answer, RecordedActivity) for answer in answers), answers


async def assert_boosted(services: Services, times: list[datetime], zone: str) -> None:
    """Compare the boosts of all members with the local times of their countries."""
    found = await rows(
        services.db,
        "SELECT member_id, rule_id FROM credits WHERE campaign = 'spring' AND boost = 'more' AND points = 5",
    )
    expected = {
        (name(country, at), rule_id)
        for country in ZONES
        for at in times
        for rule_id in ("fuel", "review")
        if is_in_force(country, at, zone)
    }
    assert set(found) == expected
    assert len(found) == len(expected)
    everything = await rows(services.db, "SELECT count(*) FROM credits WHERE beside IS NULL")
    assert everything == [(len(ZONES) * len(times) * 2,)], "each tap earns its own points"


@pytest.mark.parametrize("zone", ["member", "Asia/Kolkata", "Europe/Madrid"])
async def test_it_begins_and_ends_to_the_second_in_each_country(services: Services, zone: str) -> None:
    await publish(services, zone)
    times = instants(zone)
    await join_everywhere(services, times)
    clock = stopped_clock(services)
    steps: list[tuple[datetime, ActionKind | None]] = [*PAUSING, *((at, None) for at in times)]
    for at, kind in sorted(steps, key=lambda step: step[0]):
        clock.at = at
        await (tap(services, at) if kind is None else move(services, kind))
    await assert_boosted(services, times, zone)


@pytest.mark.parametrize("zone", ["member", "Europe/Madrid"])
async def test_late_taps_are_judged_by_their_own_time(services: Services, other: Services, zone: str) -> None:
    """Reported in no order to a process that knew nothing of the campaign while it ran."""
    await publish(services, zone)
    times = instants(zone)
    await join_everywhere(services, times)
    clock = stopped_clock(services)
    for at, kind in PAUSING:
        clock.at = at
        await move(services, kind)
    clock.at = ENDS.replace(tzinfo=UTC) + timedelta(days=3)
    for at in sorted(times, key=lambda at: (at.second, at)):
        await tap(other, at)
    await assert_boosted(services, times, zone)


def test_its_days_are_as_long_as_those_of_the_country() -> None:
    everywhere, three_days = campaign("member"), timedelta(days=3)
    lasts = {
        country: everywhere.ends_at(zone) - everywhere.begins_at(zone) for country, zone in ZONES.items()
    }
    spring = timedelta(hours=71)
    assert lasts == {"BY": three_days, "ES": spring, "GB": spring, "IN": three_days}


@pytest.mark.parametrize(
    ("zone", "countries"), [("member", [*ZONES]), ("member", ["ES"]), ("Asia/Kolkata", [*ZONES])]
)
async def test_its_state_follows_the_first_and_the_last_of_its_countries(
    services: Services, zone: str, countries: list[str]
) -> None:
    await publish(services, zone, audience={"countries": countries})
    windows = [window(country, zone) for country in countries]
    first, last = min(begin for begin, _ in windows), max(end for _, end in windows)
    clock = stopped_clock(services)
    for at, state in (
        (first - SECOND, "scheduled"),
        (first, "running"),
        (first + SECOND, "running"),
        (last - SECOND, "running"),
        (last, "ended"),
        (last + SECOND, "ended"),
    ):
        clock.at = at
        assert (await show_campaign(services, KEY, None)).state == state, at
        (listed,) = await list_campaigns(services, [PROGRAM], Wanted(), after=None, limit=10)
        assert listed[1].state == state
    actions = await rows(services.db, "SELECT kind FROM campaign_actions ORDER BY number")
    assert actions == [("created",), ("submitted",), ("approved",)], "nobody did anything for that"
