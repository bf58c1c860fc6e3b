"""Ranks on screens: the first places, and those around a member.

Valkey knows the order. The database has the names, and answers for a board that Valkey does not know.
"""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.definitions.definition import END
from engage.domain.document.texts import text_in
from engage.domain.leaderboards.definition import Leaderboard
from engage.domain.leaderboards.display_names import NOBODY
from engage.domain.leaderboards.kind import LEADERBOARD
from engage.domain.leaderboards.periods import Period, period_at, periods_until, read_label
from engage.domain.refusals import Code, Refusal, Unavailable
from engage.flows.leaderboards.count import zones_of
from engage.gate.boards import BoardPart, Placed
from engage.runtime.database import one_statement
from engage.runtime.offered import campaigns_offering
from engage.runtime.services import Services
from engage.store.leaderboards.names import read_names
from engage.store.leaderboards.scores import PeriodKey, count_before, count_members, read_score, read_top
from engage.store.members.members import Member


class BoardItem(Struct, frozen=True):
    """A place. `name` is — for members who have not chosen one."""

    rank: int
    name: str
    score: int
    me: bool


class BoardView(Struct, frozen=True):
    """A leaderboard in one period. Below the board's least number of members it shows nobody."""

    id: str
    title: str
    period: str
    items: list[BoardItem]
    members: int
    closes_at: datetime | None
    closed: bool


class BoardSummary(Struct, frozen=True):
    """A leaderboard in a list."""

    id: str
    title: str
    period: str
    closes_at: datetime | None


class BoardQuestion(Struct, frozen=True):
    """The first places (`top`), or those around the member. `period` is a label; None is the newest."""

    program_id: str
    member_id: str
    board_id: str
    language: str
    top: int | None = None
    around: int = 0
    period: str | None = None


class _Board(Struct, frozen=True):
    member: Member
    board: Leaderboard
    period: Period
    zone: str
    closed: bool

    @property
    def key(self) -> PeriodKey:
        return self.member.program_id, self.board.id, self.period.label

    @property
    def closes_at(self) -> datetime | None:
        return _end(self.period, self.board, self.zone)


async def list_boards(
    services: Services, program_id: str, member_id: str, language: str
) -> list[BoardSummary]:
    """List the leaderboards that have begun for a member.

    Raises Refusal unknown_member, not_offered; Unavailable.
    """
    member = await services.members.get(services.db, program_id, member_id)
    now = services.clock.now()
    _, market = services.programs.in_force(program_id, at=now, country=member.country)
    campaigns = await campaigns_offering(services, services.db, LEADERBOARD, [member], at=now)
    return [
        BoardSummary(
            board.id,
            text_in(board.title, language),
            period.label,
            _end(period, board, market.zone),
        )
        for version in services.definitions.in_force(
            LEADERBOARD, program_id, at=now, country=member.country, campaigns=campaigns.get(member.key, ())
        )
        for board in [version.definition]
        if (period := period_at(board, now, market.zone)) is not None
    ]


async def read_board(services: Services, question: BoardQuestion) -> BoardView:
    """Read places of a leaderboard.

    Raises Refusal unknown_member, not_offered, not_found; Unavailable.
    """
    board = await _find(services, question)
    part = await _from_valkey(services, board, question)
    async with one_statement(services.db) as conn:
        if part is None:
            part = await _from_database(conn, board, question)
        is_shown = part.members >= (board.board.min_members or 0)
        places = part.places if is_shown else []
        names = await read_names(conn, question.program_id, [place.member_id for place in places])
    return BoardView(
        id=board.board.id,
        title=text_in(board.board.title, question.language),
        period=board.period.label,
        items=_items(places, names, board.member.member_id),
        members=part.members,
        closes_at=board.closes_at,
        closed=board.closed,
    )


async def _find(services: Services, question: BoardQuestion) -> _Board:
    """Raises Refusal unknown_member, not_offered, not_found."""
    member = await services.members.get(services.db, question.program_id, question.member_id)
    now = services.clock.now()
    _, market = services.programs.in_force(question.program_id, at=now, country=member.country)
    campaigns = await campaigns_offering(services, services.db, LEADERBOARD, [member], at=now)
    own = campaigns.get(member.key, ())
    board = services.definitions.find(
        LEADERBOARD, question.board_id, at=now, member=member, campaigns=own
    ).definition
    period = next(periods_until(board, now, market.zone), None)
    if period is not None and question.period is not None:
        asked = read_label(board, question.period)
        # A period that has not begun is none yet.
        period = asked if asked is not None and asked.bounds(board, market.zone)[0] <= now else None
    if period is None:
        raise Refusal(Code.NOT_FOUND)
    closes_at = period.closes_at(board, zones_of(services, question.program_id))
    return _Board(member, board, period, market.zone, closes_at is not None and closes_at <= now)


def _items(places: Sequence[Placed], names: dict[str, str], member_id: str) -> list[BoardItem]:
    return [
        BoardItem(place.rank, names.get(place.member_id, NOBODY), place.score, place.member_id == member_id)
        for place in places
    ]


def _end(period: Period, board: Leaderboard, zone: str) -> datetime | None:
    end = period.bounds(board, zone)[1]
    return None if end == END else end


async def _from_valkey(services: Services, board: _Board, question: BoardQuestion) -> BoardPart | None:
    boards = services.gate.boards
    try:
        if question.top is not None:
            return await boards.top(board.key, question.top)
        return await boards.around(board.key, board.member.member_id, question.around)
    except Unavailable:
        return None


async def _from_database(conn: AsyncConnection, board: _Board, question: BoardQuestion) -> BoardPart:
    members = await count_members(conn, board.key)
    if question.top is not None:
        first, limit = 0, question.top
    elif await read_score(conn, board.key, board.member.member_id) == 0:
        return BoardPart(members, [])
    else:
        before = await count_before(conn, board.key, board.member.member_id)
        first = max(before - question.around, 0)
        limit = before + question.around + 1 - first
    found = await read_top(conn, board.key, skip=first, limit=limit)
    places = [Placed(rank, score.member_id, score.score) for rank, score in enumerate(found, start=first + 1)]
    return BoardPart(members, places)
