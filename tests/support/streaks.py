"""A program whose streak forgives: freezes, and a night of grace. Its first version has neither."""

from datetime import date, datetime

from engage.domain.earning.limits import DailyStreak
from engage.domain.earning.streak import Streak
from engage.flows.activities.activity import MemberActivity, RecordedActivity
from engage.flows.activities.record import record
from engage.flows.activities.streaks import introduced, introduction, streak_terms
from engage.flows.members.register import MemberRegistration, register_member
from engage.gate import keys
from engage.ledger.streaks import StreakKey, read_histories, read_streaks
from engage.runtime.database import transaction
from engage.runtime.services import Services
from tests.support.activities import tap
from tests.support.programs import rule

PROGRAM = "runs"
MADRID = "Europe/Madrid"
FREEZES = "start = 1, max = 2, earn_every_days = 4, price_points = 5"

_HEAD = """
id = "runs"
version = "{version}"
title = "Run and rest"
in_force_from = {since}
eligibility = {{ person_ref = "optional" }}
expiry = {{ type = "rolling", months = 12 }}

[countries]
ES = {{ zone = "Europe/Madrid", currency = "EUR" }}
NZ = {{ zone = "Pacific/Auckland", currency = "NZD" }}
"""


def document(version: str = "1", since: str = "2020-01-01", *, limit: str = "", welcome: int = 100) -> str:
    """A version of the program. `limit` is what the streak has besides its type, as TOML."""
    more = f", {limit}" if limit else ""
    return _HEAD.format(version=version, since=since) + "".join(
        [
            rule(
                "welcome",
                'activity = "registration"',
                'type = "once"',
                welcome,
                due='type = "after", delay = "PT0S"',
            ),
            rule("fuel", 'activity = "fuel_tap"', f'type = "daily_streak"{more}', 2),
            rule(
                "fuel_streak",
                'activity = "fuel_tap"',
                'type = "same_as", rule = "fuel"',
                'type = "every_nth_day", points = 20, days = 3',
            ),
        ]
    )


FORGIVING = document(limit=f'freezes = {{ {FREEZES} }}, grace_until = "03:00"')


async def join(services: Services, member_id: str = "m-1", country: str = "ES") -> None:
    await register_member(services, MemberRegistration(member_id=member_id, program=PROGRAM, country=country))


async def tap_at(services: Services, at: datetime, member_id: str = "m-1") -> RecordedActivity:
    """Tap in a process whose clock shows `at`. Raises Refusal."""
    (answer,) = await record(services, [MemberActivity(PROGRAM, member_id, tap(), at)])
    if isinstance(answer, Exception):
        raise answer
    return answer


def terms_of(services: Services, at: datetime, country: str = "ES") -> DailyStreak:
    program, _ = services.programs.in_force(PROGRAM, at=at, country=country)
    return streak_terms(program, "fuel")


async def streak_in_ledger(services: Services, member_id: str = "m-1") -> Streak | None:
    """The streak after its newest event, as the gate is loaded with it."""
    key = StreakKey(PROGRAM, member_id, "fuel")
    async with transaction(services.db) as conn:
        found = (await read_streaks(conn, [key])).get(key)
    if found is None:
        return None
    since = introduction(services.programs.versions(PROGRAM), "fuel", country="ES")
    return introduced(found, since).streak


async def days_in_ledger(services: Services, member_id: str = "m-1") -> set[date]:
    key = StreakKey(PROGRAM, member_id, "fuel")
    async with transaction(services.db) as conn:
        history = (await read_histories(conn, [key]))[key]
    return {event.day for event in history if event.day is not None}


async def streak_in_gate(services: Services, member_id: str = "m-1") -> keys.StreakRecord | None:
    """The gate's record, unless it is unsure of it."""
    records = await services.gate.read(PROGRAM, member_id) or []
    found = [record for record in records if isinstance(record, keys.StreakRecord)]
    return found[0] if found and not found[0].unconfirmed else None
