"""The progress of many members in the challenges of their programs, by one statement."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.challenges.courses import Course, Run
from engage.domain.challenges.progress import Interest, Progress, RunKey, progress_of_runs
from engage.domain.keys import MemberKey
from engage.domain.market import Market
from engage.domain.program.program import Program
from engage.domain.refusals import Refusal
from engage.flows.challenges.courses import courses_of
from engage.runtime.services import Services
from engage.store.challenges.facts import FactsQuery, read_facts
from engage.store.members.members import Member

# Facts are read from earlier on, for members who were in another zone then.
OTHER_ZONES: Final = timedelta(days=2)

Runs = Mapping[RunKey, tuple[Run, Progress]]


class Participant(Struct, frozen=True):
    """A member with the version and market that apply now, and the courses of their challenges. The facts
    count `since`.
    """

    member: Member
    program: Program
    market: Market
    courses: Sequence[Course]
    interest: Interest
    since: datetime

    @property
    def key(self) -> MemberKey:
        return self.member.key

    @property
    def query(self) -> FactsQuery:
        return *self.key, self.since - OTHER_ZONES


def participants(
    services: Services, members: Iterable[Member], *, now: datetime, horizon: datetime
) -> list[Participant]:
    """Those of these members for whom something counts that is not over at the horizon."""
    found = []
    for member in members:
        courses = courses_of(services, member.program_id, member.country)
        if not courses.all:
            continue
        try:
            program, market = services.programs.in_force(member.program_id, at=now, country=member.country)
        except Refusal:
            continue
        begins = [
            since
            for course in courses.all
            if (since := course.counts_since(horizon, market.zone)) is not None
        ]
        if begins:
            found.append(Participant(member, program, market, courses.all, courses.interest, min(begins)))
    return found


async def read_progress(conn: AsyncConnection, participants: Sequence[Participant]) -> dict[MemberKey, Runs]:
    """Fold the facts of each participant: the runs that something counts for."""
    activities = frozenset(name for each in participants for name in each.interest.activities)
    interest = Interest(activities, any(each.interest.points for each in participants))
    facts = await read_facts(conn, [each.query for each in participants], interest)
    return {each.key: progress_of_runs(each.courses, facts.get(each.key, ())) for each in participants}
