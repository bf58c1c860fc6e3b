"""The facts of members at the times of their activities, as far as the campaigns of a trial ask for them.

They are read for a batch of members at once, and by what is known now. An order that was reported late counts
here before the activities that were decided without it.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from engage.domain.backtests.activities import MemberHistory, StoredCredit
from engage.domain.campaigns.audience import Facts
from engage.domain.campaigns.index import PublishedCampaign, segments_of
from engage.domain.campaigns.screen import Screen
from engage.domain.campaigns.segments import SegmentIndex
from engage.domain.keys import MemberKey
from engage.flows.backtests.job import Job
from engage.runtime.audiences import Audiences, Occasion, read_audiences
from engage.runtime.database import one_statement
from engage.runtime.levels import MemberLevels, Moment, groups_asked, ids_of, read_levels
from engage.runtime.services import Services

Instant = tuple[str, datetime, str]  # (member, time, zone)


class Asked(Struct, frozen=True):
    """An activity for which campaigns ask for facts. `moment` is that of levels, None where none is asked."""

    member: MemberKey
    occasion: Occasion
    moment: Moment | None


class MemberFacts:
    """The facts of members at the times of their activities."""

    def __init__(self, read: Mapping[Instant, Facts]) -> None:
        self._read = read
        self._plain: dict[tuple[str, str], Facts] = {}

    def of(self, history: MemberHistory, credit: StoredCredit) -> Facts:
        found = self._read.get((history.member_id, credit.decided_at, credit.zone))
        return self.plain(history, credit.zone) if found is None else found

    def plain(self, history: MemberHistory, zone: str) -> Facts:
        """The facts that need not be read."""
        key = history.member_id, zone
        found = self._plain.get(key)
        if found is None:
            found = self._plain[key] = Facts(
                program=history.program,
                member_id=history.member_id,
                country=history.country,
                zone=zone,
                joined_at=history.joined_at,
            )
        return found


async def read_facts(services: Services, job: Job, histories: Sequence[MemberHistory]) -> MemberFacts:
    """Read the facts of a batch of members. Raises Unavailable."""
    plain = MemberFacts({})
    if not job.trial.asks:
        return plain
    async with one_statement(services.db) as conn:
        indexes = await services.campaigns.at(conn, services.clock.now())
    segments = segments_of(indexes, job.program_id)
    asked = list(_asked(job, histories, plain, segments))
    wanted = [await _with_moment(services, job, credit, occasion) for credit, occasion in asked]
    moments: dict[MemberKey, list[Moment]] = {}
    for each in wanted:
        if each.moment is not None:
            moments.setdefault(each.member, []).append(each.moment)
    async with one_statement(services.db) as conn:
        levels = await read_levels(conn, moments, changed=())
        audiences = await read_audiences(conn, [each.occasion for each in wanted])
    return MemberFacts({_instant(each.occasion): _facts(each, levels, audiences) for each in wanted})


def _asked(
    job: Job, histories: Sequence[MemberHistory], plain: MemberFacts, segments: SegmentIndex
) -> Iterator[tuple[StoredCredit, Occasion]]:
    """The activities for which a campaign asks for more, each once."""
    seen: set[Instant] = set()
    screens: dict[tuple[int, str, str, int], Screen] = {}
    for history in histories:
        for credit in history.credits:
            looked = job.trial.looked(credit, history.country)
            if looked is None or not looked.asks:
                continue
            facts = plain.plain(history, credit.zone)
            key = id(looked), facts.country, facts.zone, segments.epoch(credit.decided_at)
            if key not in screens:
                screens[key] = _screen(looked.campaigns, facts, credit.decided_at, segments)
            occasion = Occasion(facts, credit.decided_at, screens[key])
            if _instant(occasion) not in seen and not occasion.asked.is_nothing:
                seen.add(_instant(occasion))
                yield credit, occasion


def _screen(
    campaigns: Sequence[PublishedCampaign], facts: Facts, at: datetime, segments: SegmentIndex
) -> Screen:
    documents = [each.campaign for each in campaigns]
    return Screen(documents, country=facts.country, zone=facts.zone, at=at, segments=segments)


async def _with_moment(services: Services, job: Job, credit: StoredCredit, occasion: Occasion) -> Asked:
    facts, levels, moment = occasion.facts, occasion.asked.levels, None
    if levels:
        groups = await groups_asked(services, job.program_id, credit.version, levels)
        moment = Moment(groups, occasion.at, facts.zone)
    return Asked((facts.program, facts.member_id), occasion, moment)


def _facts(asked: Asked, levels: MemberLevels, audiences: Audiences) -> Facts:
    held = () if asked.moment is None else levels.at(asked.member, asked.moment)
    return audiences.facts(asked.occasion, ids_of(held))


def _instant(occasion: Occasion) -> Instant:
    return occasion.facts.member_id, occasion.at, occasion.facts.zone
