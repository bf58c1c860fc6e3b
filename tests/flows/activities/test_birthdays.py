"""Birthdays: recorded when the day begins where the member lives, once a year."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta

import pytest

from engage.domain.members.eligibility import next_birthday
from engage.flows.activities.birthdays import record_birthdays
from engage.flows.members.erase import erase_member
from engage.flows.members.register import MemberRegistration, register_member
from engage.flows.operations.audit import audit
from engage.flows.reads.tasks import read_tasks
from engage.runtime.database import one_statement
from engage.runtime.services import Services
from engage.settings import Settings
from engage.store.members.birthdays import next_birthday as next_stored
from tests.support.clock import stopped_clock
from tests.support.database import rows
from tests.support.programs import rule, services_with

PROGRAM = "gifts"
DOCUMENT = """
id = "gifts"
version = "1"
title = "A gift a year"
in_force_from = 2020-01-01
eligibility = { person_ref = "optional" }
expiry = { type = "never" }
countries.ES = { zone = "Europe/Madrid", currency = "EUR" }
countries.NZ = { zone = "Pacific/Auckland", currency = "NZD" }
""" + rule("gift", 'activity = "birthday"', 'type = "once_per", field = "year"', 25)

JOINED = datetime(2024, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with services_with(settings, DOCUMENT) as opened:
        stopped_clock(opened).at = JOINED
        yield opened


async def born(services: Services, member_id: str, on: date, country: str = "ES") -> None:
    joining = MemberRegistration(member_id=member_id, program=PROGRAM, country=country, birth_date=on)
    await register_member(services, joining)
    await record_birthdays(services, now=services.clock.now())


async def at(services: Services, moment: datetime) -> int:
    """Advance the clock and record what has begun; how many there were."""
    stopped_clock(services).at = moment
    return await record_birthdays(services, now=moment)


async def gifts(services: Services) -> list[tuple[object, ...]]:
    return await rows(services.db, "SELECT member_id, source_key, activity_at FROM credits ORDER BY 1, 2")


async def test_a_birthday_pays_when_it_begins_where_the_member_lives_and_again_a_year_later(
    services: Services, settings: Settings
) -> None:
    await born(services, "m-1", date(1990, 7, 15))
    await born(services, "m-2", date(1990, 7, 15), "NZ")
    auckland, madrid = datetime(2024, 7, 14, 12, tzinfo=UTC), datetime(2024, 7, 14, 22, tzinfo=UTC)
    async with one_statement(services.db) as conn:
        assert await next_stored(conn, after=JOINED) == auckland
    assert await at(services, auckland - timedelta(seconds=1)) == 0
    assert await at(services, auckland) == 1
    assert await at(services, madrid) == 1
    assert await at(services, madrid + timedelta(hours=20)) == 0
    assert await at(services, datetime(2025, 7, 16, tzinfo=UTC)) == 2, "late, and each of its own time"
    assert await gifts(services) == [
        ("m-1", "gift:2024", madrid),
        ("m-1", "gift:2025", madrid.replace(year=2025)),
        ("m-2", "gift:2024", auckland),
        ("m-2", "gift:2025", auckland.replace(year=2025)),
    ]
    assert (await audit(settings)).broken == []


async def test_two_workers_at_once_record_a_birthday_once(services: Services, settings: Settings) -> None:
    for n in range(20):
        await born(services, f"m-{n}", date(1990, 7, 15))
    moment = datetime(2024, 7, 15, tzinfo=UTC)
    async with services_with(settings, clock=services.clock) as other:
        stopped_clock(services).at = moment
        await asyncio.gather(*(record_birthdays(each, now=moment) for each in (services, other) * 3))
    assert len(await gifts(services)) == 20


async def test_who_joins_on_their_birthday_has_the_first_one_a_year_later(services: Services) -> None:
    await born(services, "m-1", date(1990, 6, 1))
    assert await at(services, JOINED + timedelta(hours=1)) == 0
    assert await at(services, datetime(2025, 6, 1, tzinfo=UTC)) == 1


async def test_an_erased_member_and_one_of_unknown_birth_have_none(
    services: Services, settings: Settings
) -> None:
    await born(services, "m-1", date(1990, 7, 15))
    joining = MemberRegistration(member_id="m-2", program=PROGRAM, country="ES")
    await register_member(services, joining)
    await erase_member(services, PROGRAM, "m-1", operator="test")
    assert await at(services, datetime(2026, 7, 16, tzinfo=UTC)) == 0
    left = await rows(services.db, "SELECT birth_date, birthday_at FROM members WHERE member_id = 'm-1'")
    assert left == [(None, None)]
    assert await gifts(services) == []


async def test_the_task_of_a_birthday_waits_for_it(services: Services) -> None:
    await born(services, "m-1", date(1990, 7, 15))
    (task,) = (await read_tasks(services, PROGRAM, "m-1")).tasks
    assert task.why_not is not None
    assert (task.state, task.points, task.why_not.code) == ("blocked", 25, "on_birthday")


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 2, 28, 23, tzinfo=UTC)),
        (datetime(2026, 2, 28, 23, tzinfo=UTC), datetime(2027, 2, 28, 23, tzinfo=UTC)),
        (datetime(2027, 12, 31, 22, tzinfo=UTC), datetime(2028, 2, 28, 23, tzinfo=UTC)),
        (datetime(1999, 1, 1, tzinfo=UTC), datetime(2001, 2, 28, 23, tzinfo=UTC)),
    ],
    ids=["1 March", "a year later", "a leap day", "the first one"],
)
def test_who_is_born_on_29_february_has_a_birthday_each_year(after: datetime, expected: datetime) -> None:
    found, year = next_birthday(date(2000, 2, 29), after=after, zone="Europe/Madrid")
    assert (found, year) == (expected, (expected + timedelta(hours=1)).year)
