"""Draws as members see them, and their certificates."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.document.texts import text_in
from engage.domain.draws.beacon import QUICKNET, SANDBOX, Chain, sandbox_chain
from engage.domain.draws.definition import Conditions, Draw
from engage.domain.refusals import Code, Refusal
from engage.flows.draws.drawing import certificate_of
from engage.flows.draws.enter import DrawEntry
from engage.flows.draws.terms import OfferedDraw, begun_draw, check_id, offered_to
from engage.runtime.database import transaction
from engage.runtime.definition_cache import is_of_campaign
from engage.runtime.services import Services
from engage.store.draws import draws as store
from engage.store.draws.drawing import read_list_text, read_winners
from engage.store.draws.draws import DrawRow, MemberEntry
from engage.store.members.members import Member

State = Literal["open", "frozen", "drawn", "void"]


class DrawSummary(Struct, frozen=True, kw_only=True):
    """A draw. `prizes` is how many win `points` each; `my_number` is that of the member's entry."""

    id: str
    title: str
    state: State
    opens_at: datetime
    closes_at: datetime
    points: int
    prizes: int
    conditions: Conditions | None
    entries: int
    my_number: int | None


class DrawView(DrawSummary, frozen=True, kw_only=True):
    """A draw. `root`, `published_at`, `round` and `round_at` are there from the freeze on: the digest of the
    list, when it was published, and the beacon's round that decides, with its time. `winners` are numbers, in
    the order in which they were drawn. `my_entry` is the receipt that `my_number` can be checked with.
    """

    root: str | None
    published_at: datetime | None
    round: int | None
    round_at: datetime | None
    drawn_at: datetime | None
    winners: list[int] | None
    my_entry: DrawEntry | None


class BegunDraw(Struct, frozen=True):
    """A draw as operators see it. `winners` are numbers, in the order in which they were drawn."""

    row: DrawRow
    entries: int
    winners: list[int]


async def list_draws(
    services: Services, program_id: str, member_id: str, *, language: str
) -> list[DrawSummary]:
    """The draws that the member can enter or has entered and that are open.

    Raises Refusal unknown_member; Unavailable.
    """
    member = await services.members.get(services.db, program_id, member_id)
    now = services.clock.now()
    offered = {each.draw.id: each for each in await offered_to(services, member, now=now)}
    async with transaction(services.db) as conn:
        begun = {row.draw_id: row for row in await store.read_open_draws(conn, program_id)}
        counts = await store.count_entries(conn, program_id, list(begun))
        numbers = await store.read_numbers_of(conn, member.key, list(begun))
    views = []
    for draw_id in sorted({*offered, *begun}):
        row = begun.get(draw_id)
        if row is not None and is_of_campaign(row.version) and draw_id not in {*offered, *numbers}:
            continue  # A campaign's, for others.
        shown = await _shown(services, offered.get(draw_id), row, member, now=now)
        if shown is not None and shown.opens_at <= now < shown.closes_at:
            views.append(_summary(shown, language, "open", counts.get(draw_id, 0), numbers.get(draw_id)))
    return sorted(views, key=lambda view: (view.closes_at, view.id))


async def read_draw(
    services: Services, program_id: str, member_id: str, draw_id: str, *, language: str
) -> DrawView:
    """Raises Refusal unknown_member, not_found (also before it opens); Unavailable."""
    member = await services.members.get(services.db, program_id, member_id)
    check_id(draw_id)
    now = services.clock.now()
    found = await offered_to(services, member, now=now)
    offered = next((each for each in found if each.draw.id == draw_id), None)
    async with transaction(services.db) as conn:
        row = await store.read_draw(conn, (program_id, draw_id))
        mine = await store.read_entry_of(conn, member.key, draw_id)
        entries = await _count(conn, row)
        winners = await read_winners(conn, row.key) if row is not None and row.state == "drawn" else None
    shown = await _shown(services, offered, row, member, now=now)
    if shown is None or now < shown.opens_at:
        raise Refusal(Code.NOT_FOUND)
    number = None if mine is None else mine.number
    summary = _summary(shown, language, _state(row, shown, now), entries, number)
    return DrawView(
        **msgspec.structs.asdict(summary),
        root=None if row is None else row.root,
        published_at=None if row is None or row.root is None else row.published_at,
        round=None if row is None else row.round,
        round_at=None if row is None else row.round_at,
        drawn_at=None if row is None else row.drawn_at,
        winners=winners,
        my_entry=None
        if mine is None
        else DrawEntry(mine.entry_id, mine.number, mine.entered_as, mine.salt, mine.hash),
    )


async def read_certificate(services: Services, program_id: str, member_id: str, draw_id: str) -> bytes:
    """The certificate of a draw that is frozen, as JSON.

    Raises Refusal unknown_member, not_found; Unavailable.
    """
    await services.members.get(services.db, program_id, member_id)
    return await read_certificate_of_draw(services, program_id, draw_id)


async def read_certificate_of_draw(services: Services, program_id: str, draw_id: str) -> bytes:
    """The same for operators. Raises Refusal not_found; Unavailable."""
    check_id(draw_id)
    async with transaction(services.db) as conn:
        row = await store.read_draw(conn, (program_id, draw_id))
        if row is None or row.root is None:
            raise Refusal(Code.NOT_FOUND)
        listed = await read_list_text(conn, row.key)
        winners = await read_winners(conn, row.key) if row.state == "drawn" else None
    certificate = certificate_of(row, [], _chain(row), winners)
    return msgspec.json.encode(msgspec.structs.replace(certificate, entries=msgspec.Raw(listed)))


async def list_begun(services: Services, programs: Sequence[str]) -> list[BegunDraw]:
    """The draws of these programs that somebody has entered, those that close last first.

    Raises Unavailable.
    """
    async with transaction(services.db) as conn:
        found = await store.read_draws(conn, programs)
        counted = [await _count(conn, row) for row in found]
    return [BegunDraw(row, entries, []) for row, entries in zip(found, counted, strict=True)]


async def find_begun(services: Services, program_id: str, draw_id: str) -> BegunDraw | None:
    """A draw that somebody has entered, with its winners. Raises Refusal not_found for no id; Unavailable."""
    check_id(draw_id)
    async with transaction(services.db) as conn:
        row = await store.read_draw(conn, (program_id, draw_id))
        if row is None:
            return None
        winners = await read_winners(conn, row.key) if row.state == "drawn" else []
        return BegunDraw(row, await _count(conn, row), winners)


async def list_entries(
    services: Services,
    programs: Sequence[str],
    draw_id: str,
    *,
    winners: bool,
    before: int | None,
    limit: int,
) -> list[MemberEntry]:
    """Up to `limit` entries of the draw of that id in the first of these programs where somebody has entered
    one, with a number below `before`. Raises Refusal not_found; Unavailable.
    """
    check_id(draw_id)
    async with transaction(services.db) as conn:
        for program_id in programs:
            if await store.read_draw(conn, (program_id, draw_id)) is not None:
                return await store.list_entries(
                    conn, (program_id, draw_id), winners=winners, before=before, limit=limit
                )
    raise Refusal(Code.NOT_FOUND)


def _chain(row: DrawRow) -> Chain:
    """The chain that the list was frozen for."""
    if row.beacon == SANDBOX:
        return sandbox_chain(row.public_key or "")
    assert row.public_key == QUICKNET.public_key
    return QUICKNET


class _Shown(Struct, frozen=True):
    draw: Draw
    opens_at: datetime
    closes_at: datetime


async def _shown(
    services: Services, offered: OfferedDraw | None, row: DrawRow | None, member: Member, *, now: datetime
) -> _Shown | None:
    """The draw as it began, or else as the definition in force has it."""
    if row is not None:
        draw = await begun_draw(services, row)
        program = services.programs.latest(row.program_id, at=now, country=member.country)
        market = program.countries.get(member.country) or next(iter(program.countries.values()))
        return _Shown(draw, draw.opened_at(market.zone), row.closes_at)
    return None if offered is None else _Shown(offered.draw, offered.opens_at, offered.closes_at)


def _state(row: DrawRow | None, shown: _Shown, now: datetime) -> State:
    if row is None:
        return "open" if now < shown.closes_at else "void"
    match row.state:
        case "frozen" | "drawn" | "void":
            return row.state
        case _:
            return "open"


async def _count(conn: AsyncConnection, row: DrawRow | None) -> int:
    if row is None:
        return 0
    if row.entries is not None:
        return row.entries
    return (await store.count_entries(conn, row.program_id, [row.draw_id])).get(row.draw_id, 0)


def _summary(shown: _Shown, language: str, state: State, entries: int, number: int | None) -> DrawSummary:
    draw = shown.draw
    return DrawSummary(
        id=draw.id,
        title=text_in(draw.title, language),
        state=state,
        opens_at=shown.opens_at,
        closes_at=shown.closes_at,
        points=draw.points,
        prizes=draw.winners,
        conditions=draw.conditions,
        entries=entries,
        my_number=number,
    )
