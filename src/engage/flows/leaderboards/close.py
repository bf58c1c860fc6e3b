"""Close periods that have ended, and pay their prizes: each rank once, whatever dies in between."""

from datetime import datetime
from typing import Final

import structlog
from msgspec.structs import replace

from engage.domain.earning.credit import NewCredit
from engage.domain.leaderboards.definition import Leaderboard
from engage.domain.leaderboards.kind import LEADERBOARD
from engage.domain.leaderboards.payment import rank_credit
from engage.ledger.accept import CreditToAccept
from engage.runtime.ids import new_id
from engage.runtime.posting import Posting, open_posting
from engage.runtime.services import Services
from engage.store.leaderboards.periods import BoardPeriod, lock_due, write_period
from engage.store.leaderboards.scores import count_members, read_top
from engage.store.members.members import Member

log = structlog.get_logger()

RANKS_PER_BATCH: Final = 500


async def close_due(services: Services, *, now: datetime, on_time: bool = False) -> int:
    """Close the periods that ended by `now`, and pay their prizes; how many steps that took.

    A period waits for changes from before its end that are not counted yet. Raises Unavailable.
    """
    steps = 0
    while True:
        async with open_posting(services, cause="pending") as posting:
            ahead = services.clock.ahead
            period = await lock_due(posting.conn, now=now, ahead=ahead, on_time=on_time)
            if period is None:
                return steps
            assert period.closes_at is not None
            at = period.closes_at if on_time else now
            board = await services.definitions.version(
                services.db, LEADERBOARD, period.program_id, period.board_id, period.version
            )
            if period.closed_at is None:
                period = await _close(posting, period, board, at=at)
            else:
                period = await _pay(services, posting, period, board, at=at)
            await write_period(posting.conn, period)
        steps += 1


async def _close(posting: Posting, period: BoardPeriod, board: Leaderboard, *, at: datetime) -> BoardPeriod:
    """Freeze a period: nothing counts in it any more."""
    members = await count_members(posting.conn, period.key)
    pays = members >= (board.min_members or 0)
    prizes_to = min(board.last_rank, members) if pays else 0
    return replace(period, closed_at=at, members=members, prizes_to=prizes_to)


async def _pay(
    services: Services, posting: Posting, period: BoardPeriod, board: Leaderboard, *, at: datetime
) -> BoardPeriod:
    """Pay the next ranks of a closed period, the first ones first where the budget of a campaign is not
    enough for all. Nobody moves up for a member who was erased.
    """
    limit = min(RANKS_PER_BATCH, period.prizes_to - period.paid_to)
    ranked = await read_top(posting.conn, period.key, skip=period.paid_to, limit=limit)
    members = await services.members.find(
        services.db, [(score.program_id, score.member_id) for score in ranked]
    )
    credits = [
        CreditToAccept(*member.key, new_id(), _credit(services, member, board, period, rank, at))
        for rank, score in enumerate(ranked, start=period.paid_to + 1)
        if (member := members.get((score.program_id, score.member_id))) is not None
    ]
    if credits:
        await posting.accept(credits, now=at)
    if posting.exhausted:
        log.warning("a budget cannot pay prizes", board=period.board_id, count=len(posting.exhausted))
    return replace(period, paid_to=period.paid_to + limit)


def _credit(
    services: Services, member: Member, board: Leaderboard, period: BoardPeriod, rank: int, at: datetime
) -> NewCredit:
    program = services.programs.latest(member.program_id, at=at, country=member.country)
    points = board.points_for(rank)
    assert points is not None, "only ranks with a prize are paid"
    market = program.countries.get(member.country) or next(iter(program.countries.values()))
    return rank_credit(
        program.earning, board, period=period.period, rank=rank, points=points, at=at, zone=market.zone
    )
