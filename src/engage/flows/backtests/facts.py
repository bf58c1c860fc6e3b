"""The facts of members at the times of their activities, as far as the campaigns of a trial ask for them.

They are read for a batch of members at once, and are those that were known when an activity was decided: an
order that was reported later does not count. What is known of an order's returns and cancellation counts from
its own time on.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.backtests.activities import MemberHistory, StoredCredit
from engage.domain.campaigns.audience import Facts
from engage.domain.campaigns.index import PublishedCampaign, segments_of
from engage.domain.campaigns.screen import Screen
from engage.domain.campaigns.segments import SegmentIndex
from engage.domain.keys import MemberKey
from engage.domain.tiers.movement import Movement
from engage.flows.backtests.job import Job
from engage.runtime.audiences import Audiences, Occasion
from engage.runtime.database import one_statement
from engage.runtime.levels import Moment, groups_asked, ids_of, levels_at
from engage.runtime.levels import read_facts as read_movements
from engage.runtime.services import Services
from engage.store.backtests.known import Decision, KnownSince, read_known, read_last_payments
from engage.store.campaigns.member_facts import MemberFacts as MemberFactsRead
from engage.store.members.members import Member
from engage.store.segments.members import ListAt, read_stays
from engage.store.tiers.movements import Movements

Instant = tuple[Decision, str]  # (decision, zone)


class Asked(Struct, frozen=True):
    """An activity for which campaigns ask for facts. `moment` is that of levels, None where none is asked."""

    decision: Decision
    occasion: Occasion
    moment: Moment | None

    @property
    def instant(self) -> Instant:
        return self.decision, self.occasion.zone


class MemberFacts:
    """The facts of members at the times of their activities."""

    def __init__(self, read: Mapping[Instant, Facts]) -> None:
        self._read = read
        self._plain: dict[tuple[str, str], Facts] = {}

    def of(self, history: MemberHistory, credit: StoredCredit) -> Facts:
        found = self._read.get((_decision(history, credit), credit.zone)) if self._read else None
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
    wanted = [
        await _with_moment(services, job, history, credit, occasion)
        for history, credit, occasion in _asked(job, histories, plain, segments)
    ]
    async with one_statement(services.db) as conn:
        levels = await _read_levels(conn, job, wanted)
        payments = await read_last_payments(
            conn, job.program_id, {each.decision for each in wanted if each.occasion.asked.payments}
        )
        listed: dict[ListAt, set[str]] = {}
        for each in wanted:
            for list_ in each.occasion.asked.lists:
                listed.setdefault(each.occasion.list(list_), set()).add(each.decision.member_id)
        stays = await read_stays(conn, listed)
    found = {}
    for each in wanted:
        paid_at = payments.get(each.decision)
        paid = {} if paid_at is None else {each.decision.member_id: paid_at}
        audiences = Audiences(MemberFactsRead(payments={each.occasion.payments: paid}, stays=stays))
        found[each.instant] = audiences.facts(each.occasion, levels.get(each.instant, frozenset()))
    return MemberFacts(found)


def _asked(
    job: Job, histories: Sequence[MemberHistory], plain: MemberFacts, segments: SegmentIndex
) -> Iterator[tuple[MemberHistory, StoredCredit, Occasion]]:
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
            shortlist = screens[key].shortlist(facts.member_id, facts.joined_at)
            member = Member(facts.program, facts.member_id, facts.country, facts.joined_at)
            occasion = Occasion(member, facts.zone, credit.decided_at, shortlist)
            instant = _decision(history, credit), credit.zone
            if instant not in seen and not occasion.asked.is_nothing:
                seen.add(instant)
                yield history, credit, occasion


def _screen(
    campaigns: Sequence[PublishedCampaign], facts: Facts, at: datetime, segments: SegmentIndex
) -> Screen:
    documents = [each.campaign for each in campaigns]
    return Screen(documents, country=facts.country, zone=facts.zone, at=at, segments=segments)


async def _with_moment(
    services: Services, job: Job, history: MemberHistory, credit: StoredCredit, occasion: Occasion
) -> Asked:
    levels, moment = occasion.asked.levels, None
    if levels:
        groups = await groups_asked(services, job.program_id, credit.version, levels)
        moment = Moment(groups, occasion.at, occasion.zone)
    return Asked(_decision(history, credit), occasion, moment)


def _decision(history: MemberHistory, credit: StoredCredit) -> Decision:
    return Decision(history.member_id, credit.decided_at, credit.accepted_at)


async def _read_levels(
    conn: AsyncConnection, job: Job, wanted: Sequence[Asked]
) -> dict[Instant, frozenset[str]]:
    """The levels at the activities that ask for them."""
    moments: dict[MemberKey, list[Moment]] = {}
    asking = [(each, each.moment) for each in wanted if each.moment is not None]
    for each, moment in asking:
        moments.setdefault(each.occasion.member.key, []).append(moment)
    if not moments:
        return {}
    movements = await read_movements(conn, moments)
    members = [member_id for _, member_id in moments]
    known = await read_known(conn, job.program_id, members, since=job.window.start)
    return {
        each.instant: ids_of(
            levels_at(moment, _known_movements(movements[each.occasion.member.key], each.decision, known))
        )
        for each, moment in asking
    }


def _known_movements(movements: Movements, decision: Decision, known: KnownSince) -> Movements:
    """The movements that were known, without those of the activity that is decided."""
    return {metric: list(_before(found, decision, known)) for metric, found in movements.items()}


def _before(movements: Iterable[Movement], decision: Decision, known: KnownSince) -> Iterator[Movement]:
    for movement in movements:
        since = known.orders if movement.cause.kind == "order" else known.credits
        at = since.get(movement.cause.id or "")
        # What became known at once, in one report, counts in the order of its own times.
        if at is None or at < decision.known or (at == decision.known and movement.earned_at < decision.at):
            yield movement
