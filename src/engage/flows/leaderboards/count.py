"""Count the scores of members whose facts have changed, and publish them to Valkey. A reaction."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.challenges.kind import CHALLENGE
from engage.domain.keys import MemberKey
from engage.domain.leaderboards.definition import POINTS_EARNED, Leaderboard
from engage.domain.leaderboards.kind import LEADERBOARD
from engage.domain.leaderboards.periods import Period, periods_until
from engage.domain.refusals import Refusal
from engage.flows.challenges.member_progress import participants, read_progress
from engage.gate.boards import BoardRow
from engage.ledger.accounts import lock_balances
from engage.runtime.audiences import NO_ONE
from engage.runtime.database import transaction
from engage.runtime.definition_cache import Versioned
from engage.runtime.offered import campaigns_offering
from engage.runtime.reactions import Reaction
from engage.runtime.services import Services
from engage.store.leaderboards.periods import BoardPeriod, add_periods, read_periods, share_open
from engage.store.leaderboards.scores import (
    PeriodKey,
    Score,
    ScoreQuery,
    count_scores,
    read_of_members,
    write_scores,
)
from engage.store.members.members import Member

# Workers may come to a change when its period is over. One without a row that ended longer ago has nobody.
LATE: Final = timedelta(days=2)


class _Counting(Struct, frozen=True):
    """A period of a board that a member's facts may count in: the newest one, or the one before it, which is
    open until the last zone is at its end.
    """

    member: Member
    zone: str
    version: Versioned[Leaderboard]
    period: Period

    @property
    def key(self) -> PeriodKey:
        return self.member.program_id, self.version.id, self.period.label


async def count_members_scores(services: Services, members: Sequence[MemberKey], *, now: datetime) -> None:
    """Bring the scores of members to what their credits say, in the database and then in Valkey.

    Repeating it changes nothing. Raises Unavailable.
    """
    found = await services.members.find(services.db, members)
    campaigns = await campaigns_offering(services, services.db, LEADERBOARD, found.values(), at=now)
    counting = [
        each
        for member in found.values()
        for each in _counting(services, member, campaigns.get(member.key, NO_ONE), now)
    ]
    if counting:
        await _add_missing(services, counting, now)
    async with transaction(services.db) as conn:
        if counting:
            # Periods before balances: who closes one holds it while it pays.
            open_ = await share_open(conn, {each.key for each in counting})
            await lock_balances(conn, members)
            boards = {
                key: await services.definitions.version(
                    services.db, LEADERBOARD, key[0], key[1], period.version
                )
                for key, period in open_.items()
            }
            queries = [
                _query(each, boards[each.key], since=_since(services, each.key))
                for each in counting
                if each.key in boards
            ]
            of_credits = [query for query in queries if query.challenge_id is None]
            if of_credits:
                await count_scores(conn, of_credits, now=now)
            of_challenges = [query for query in queries if query.challenge_id is not None]
            if of_challenges:
                await _count_challenges(services, conn, of_challenges, found, now=now)
        scores = await read_of_members(conn, members)
    await publish_scores(services, scores)


async def _count_challenges(
    services: Services,
    conn: AsyncConnection,
    queries: Sequence[ScoreQuery],
    members: Mapping[MemberKey, Member],
    *,
    now: datetime,
) -> None:
    """Count progress: that of all runs of the challenge in the period."""
    horizon = min(query.begins_at for query in queries)
    taking_part = participants(services, set(members.values()), now=now, horizon=horizon)
    progress = await read_progress(conn, taking_part) if taking_part else {}
    scores = []
    for query in queries:
        runs = [
            found
            for run, found in progress.get((query.program_id, query.member_id), {}).values()
            if run.id == query.challenge_id
            and run.begins_at < query.ends_at
            and query.begins_at < run.ends_at
        ]
        reached_at = max((run.rose_at for run in runs if run.rose_at is not None), default=now)
        scores.append((query, sum(run.progress for run in runs), reached_at))
    await write_scores(conn, scores)


async def publish_scores(services: Services, scores: Iterable[Score]) -> None:
    """Write rows of scores to the boards that Valkey knows. Raises Unavailable."""
    by_board: dict[PeriodKey, list[BoardRow]] = {}
    for score in scores:
        by_board.setdefault(score.period_key, []).append(row_of(score))
    for board, rows in by_board.items():
        await services.gate.boards.update(board, rows)


def row_of(score: Score) -> BoardRow:
    return BoardRow(score.member_id, score.score, score.reached_at, score.version)


def _counting(
    services: Services, member: Member, campaigns: frozenset[str], now: datetime
) -> Iterator[_Counting]:
    try:
        _, market = services.programs.in_force(member.program_id, at=now, country=member.country)
    except Refusal:
        return  # Nothing is offered in their country.
    for version in services.definitions.in_force(
        LEADERBOARD, member.program_id, at=now, country=member.country, campaigns=campaigns
    ):
        for period in periods_until(version.definition, now, market.zone):
            yield _Counting(member, market.zone, version, period)


async def _add_missing(services: Services, counting: Sequence[_Counting], now: datetime) -> None:
    """In a transaction of its own: nobody waits for a new period while holding anything else."""
    wanted = {each.key: each for each in counting}
    async with transaction(services.db) as conn:
        known = await read_periods(conn, wanted)
        missing = [
            new_period(services, key[0], each.version, each.period)
            for key, each in wanted.items()
            if key not in known
        ]
        recent = [period for period in missing if not period.closes_at or period.closes_at > now - LATE]
        if recent:
            await add_periods(conn, recent)


def new_period(
    services: Services, program_id: str, version: Versioned[Leaderboard], period: Period
) -> BoardPeriod:
    closes_at = period.closes_at(version.definition, zones_of(services, program_id))
    return BoardPeriod(
        program_id=program_id,
        board_id=version.id,
        period=period.label,
        version=version.version,
        closes_at=closes_at,
    )


def zones_of(services: Services, program_id: str) -> set[str]:
    """Return the zones of all members that a program has ever had."""
    return {
        market.zone
        for program in services.programs.versions(program_id)
        for market in program.countries.values()
    }


def _since(services: Services, key: PeriodKey) -> datetime:
    """Return when a board was first in force: it counts nothing from before."""
    versions = services.definitions.every(LEADERBOARD, key[0])
    return min(version.since for version in versions if version.id == key[1])


def _query(each: _Counting, board: Leaderboard, *, since: datetime) -> ScoreQuery:
    begins_at, ends_at = each.period.bounds(board, each.zone)
    kind, _, id_ = board.score.partition(":")
    return ScoreQuery(
        program_id=each.member.program_id,
        member_id=each.member.member_id,
        board_id=board.id,
        period=each.period.label,
        begins_at=max(begins_at, since),
        ends_at=ends_at,
        rule_id=None if board.score == POINTS_EARNED else board.score,
        challenge_id=id_ if kind == CHALLENGE.name else None,
    )


LEADERBOARDS: Final = Reaction(name="leaderboards", react=count_members_scores)
