"""Record members' birthdays, where a rule pays for them: once a year, when the day begins where they live.

Who joins on their birthday has the first one a year later. A worker that was away records what it has missed,
each at its own time. The source key has the year, so two workers at once, or a crash, change nothing.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from engage.domain import calendar
from engage.domain.activity import Birthday
from engage.domain.members.eligibility import next_birthday
from engage.domain.refusals import Unavailable
from engage.flows.activities.activity import MemberActivity
from engage.flows.activities.record import record
from engage.runtime.database import one_statement
from engage.runtime.services import Services
from engage.store.members import birthdays as store
from engage.store.members.birthdays import MEMBERS_PER_BATCH, BornMember

# A rule about birthdays does not reach back: those of days before it was known are over.
LOOKED_BACK: Final = timedelta(days=1)


async def record_birthdays(services: Services, *, now: datetime, on_time: bool = False) -> int:
    """Record the birthdays that have begun; how many members had one. Raises Unavailable."""
    programs = _programs(services)
    if programs:
        await _find_next(services, programs, now=now)
    total = 0
    while True:
        async with one_statement(services.db) as conn:
            due = await store.read_due(conn, now=now, ahead=services.clock.ahead, on_time=on_time)
        if due:
            await _record(services, due)
            after = [(born, _next(services, born, born.birthday_at or now)) for born in due]
            offered = [(born, at if born.program_id in programs else None) for born, at in after]
            async with one_statement(services.db) as conn:
                await store.set_birthdays(conn, offered)
        total += len(due)
        if len(due) < MEMBERS_PER_BATCH:
            return total


def _programs(services: Services) -> list[str]:
    """The programs that have a rule about birthdays, in any version or campaign."""
    return [
        program_id
        for program_id in services.programs.ids()
        if any(v.earning.rules.about("birthday") for v in services.programs.versions(program_id))
        or services.campaigns.of(program_id).rules_about("birthday")
    ]


async def _find_next(services: Services, programs: Sequence[str], *, now: datetime) -> None:
    while True:
        async with one_statement(services.db) as conn:
            unknown = await store.read_unknown(conn, programs)
        if unknown:
            found = [(m, _next(services, m, max(m.joined_at, now - LOOKED_BACK))) for m in unknown]
            async with one_statement(services.db) as conn:
                await store.set_birthdays(conn, found)
        if len(unknown) < MEMBERS_PER_BATCH:
            return


async def _record(services: Services, due: Sequence[BornMember]) -> None:
    """Raises Unavailable. Any other refusal is an answer: there is no rule any more, or it has paid."""
    activities = []
    for born in due:
        assert born.birthday_at is not None
        year = calendar.local_date(born.birthday_at, _zone(services, born)).year
        activities.append(MemberActivity(*born.key, Birthday(year=year), born.birthday_at))
    for answer in await record(services, activities):
        if isinstance(answer, Unavailable):
            raise answer


def _next(services: Services, born: BornMember, after: datetime) -> datetime:
    at, _ = next_birthday(born.birth_date, after=after, zone=_zone(services, born))
    return at


def _zone(services: Services, born: BornMember) -> str:
    """The zone of the member's country, by the newest version that lists it: it let the member join."""
    versions = services.programs.versions(born.program_id)
    return next(v.countries[born.country].zone for v in reversed(versions) if born.country in v.countries)
