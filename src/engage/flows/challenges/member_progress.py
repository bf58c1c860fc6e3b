"""The progress of many members in the challenges of their programs, by one statement."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.campaigns.index import PublishedCampaign
from engage.domain.challenges.courses import Course, Run
from engage.domain.challenges.interest import Interest, joined
from engage.domain.challenges.progress import Progress, RunKey, progress_of_runs
from engage.domain.keys import MemberKey
from engage.domain.market import Market
from engage.domain.program.program import Program
from engage.domain.refusals import Refusal
from engage.flows.challenges.courses import Courses, courses_of
from engage.runtime.services import Services
from engage.store.challenges.facts import FactsQuery, read_facts
from engage.store.members.members import Member

# Facts are read from earlier on, for members who were in another zone then.
OTHER_ZONES: Final = timedelta(days=2)

Runs = Mapping[RunKey, tuple[Run, Progress]]


class Participant(Struct, frozen=True):
    """A member with the version and market that apply now, and the courses of their challenges. The facts
    count `since`. `asking` are campaigns that bring some of the challenges, by their ids, and are for the
    member only if other facts say so.
    """

    member: Member
    program: Program
    market: Market
    courses: Sequence[Course]
    interest: Interest
    since: datetime
    asking: Mapping[str, PublishedCampaign]

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
    offers: dict[tuple[str, str], _Offer | None] = {}
    found = []
    for member in members:
        key = (member.program_id, member.country)
        if key not in offers:
            offers[key] = _offer(services, *key, now=now, horizon=horizon)
        offer = offers[key]
        if offer is not None:
            found.append(
                Participant(
                    member,
                    offer.program,
                    offer.market,
                    offer.courses.of(member, offer.market.zone),
                    offer.courses.interest,
                    offer.since,
                    offer.courses.asking,
                )
            )
    return found


class _Offer(Struct, frozen=True):
    """The same for all members of a country."""

    program: Program
    market: Market
    courses: Courses
    since: datetime


def _offer(
    services: Services, program_id: str, country: str, *, now: datetime, horizon: datetime
) -> _Offer | None:
    courses = courses_of(services, program_id, country)
    if not courses.all:
        return None
    try:
        program, market = services.programs.in_force(program_id, at=now, country=country)
    except Refusal:
        return None
    begins = [since for course in courses.all if (since := course.counts_since(horizon, market.zone))]
    return _Offer(program, market, courses, min(begins)) if begins else None


async def read_progress(conn: AsyncConnection, participants: Sequence[Participant]) -> dict[MemberKey, Runs]:
    """Fold the facts of each participant: the runs that something counts for."""
    interest = joined(each.interest for each in participants)
    facts = await read_facts(conn, [each.query for each in participants], interest)
    return {each.key: progress_of_runs(each.courses, facts.get(each.key, ())) for each in participants}
