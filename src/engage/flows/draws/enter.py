"""Enter draws. Requests of many callers share a transaction.

An entry takes its number while the draw's row is locked, and the freeze needs that lock: what was answered is
in the list. Its salt is random, and its digest is fixed at once, so the member can keep both as a receipt.
"""

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

import msgspec
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.draws.commitment import entry_hash
from engage.domain.draws.conditions import check_post
from engage.domain.draws.definition import Draw, Post
from engage.domain.draws.kind import DRAW
from engage.domain.keys import DrawKey, MemberKey
from engage.domain.refusals import AccountClosed, Code, Refusal
from engage.flows.draws.reserve import begin_reserved
from engage.flows.draws.terms import OfferedDraw, begun_draw, check_id, offered_draws
from engage.runtime.batch import decide_each, not_refused, refused
from engage.runtime.database import transaction
from engage.runtime.definition_cache import is_of_campaign
from engage.runtime.idempotency import Keyed, claim_each, keep_each
from engage.runtime.ids import new_id
from engage.runtime.offered import campaigns_offering
from engage.runtime.services import Services
from engage.store.draws import draws as store
from engage.store.draws.draws import DrawRow, EntryRow
from engage.store.members.members import Member

# A certificate lists all entries in one document.
MOST_ENTRIES = 250_000

SALT_BYTES = 32


class EntryRequest(Struct, frozen=True):
    """A member, and the draw that they want to enter."""

    program_id: str
    member_id: str
    draw_id: str
    post: Post | None = None
    keyed: "Keyed[DrawEntry] | None" = None


class DrawEntry(Struct, frozen=True):
    """An entry and its receipt: `hash` is what the list will have under `number`. It is the SHA-256 of the
    JSON of draw_id, member_id, number, program and salt, in this order and without blanks.
    """

    entry_id: UUID
    number: int
    member_id: str
    salt: str
    hash: str


class _Wanted(Struct, frozen=True):
    """A valid request. `offered` is None if no definition in force has the draw."""

    member: Member
    draw_id: str
    offered: OfferedDraw | None
    post: Post | None
    keyed: Keyed[DrawEntry] | None

    @property
    def draw_key(self) -> DrawKey:
        return self.member.program_id, self.draw_id

    @property
    def key(self) -> tuple[str, str, str]:
        return *self.member.key, self.draw_id


class _State(Struct):
    """Members and draws under lock, changed by one entry after the other."""

    now: datetime
    closed: dict[MemberKey, bool]
    draws: dict[DrawKey, tuple[DrawRow, Draw]]
    last_numbers: dict[DrawKey, int]
    entered: dict[tuple[str, str, str], int]
    entries: list[EntryRow]


async def enter(services: Services, requests: Sequence[EntryRequest]) -> list[DrawEntry | Refusal]:
    """Enter draws; return the entries in order.

    Refusals: unknown_member, not_found, draw_closed, entry_rejected, already_entered, draw_full,
    budget_exhausted, request_in_flight. Raises Unavailable.
    """
    answers = await _enter_batch(services, requests)
    closed = [n for n, answer in enumerate(answers) if isinstance(answer, AccountClosed)]
    if closed:
        # Merged or erased a moment ago, by another process.
        await services.members.refresh(services.db)
        again = await _enter_batch(services, [requests[n] for n in closed])
        for n, answer in zip(closed, again, strict=True):
            answers[n] = answer
    return answers


async def _enter_batch(services: Services, requests: Sequence[EntryRequest]) -> list[DrawEntry | Refusal]:
    now = services.clock.now()
    keys = [(request.program_id, request.member_id) for request in requests]
    members = await services.members.find(services.db, keys)
    campaigns = await campaigns_offering(services, services.db, DRAW, members.values(), at=now)
    wanted = decide_each(
        requests,
        lambda request: _wanted(
            services, members.get((request.program_id, request.member_id)), request, campaigns, now=now
        ),
    )
    exhausted = await begin_reserved(services, _opening(not_refused(wanted), now), now=now)
    wanted = decide_each(wanted, partial(_check_budget, exhausted))
    if not not_refused(wanted):
        return [*refused(wanted)]
    async with transaction(services.db) as conn:
        wanted = await claim_each(conn, wanted, lambda each: each.keyed)
        state = await _lock(services, conn, not_refused(wanted), now=now)
        entries = decide_each(wanted, partial(_enter, state))
        if state.entries:
            await store.add_entries(conn, state.entries, state.last_numbers)
        under_keys = [request.keyed for request in requests]
        await keep_each(conn, zip(under_keys, entries, strict=True))
    return entries


def _wanted(
    services: Services,
    member: Member | None,
    request: EntryRequest,
    campaigns: Mapping[MemberKey, frozenset[str]],
    *,
    now: datetime,
) -> _Wanted:
    """Raises Refusal unknown_member, not_found."""
    if member is None:
        raise Refusal(Code.UNKNOWN_MEMBER)
    check_id(request.draw_id)
    offered = offered_draws(services, member, campaigns.get(member.key, ()), now=now)
    found = next((each for each in offered if each.draw.id == request.draw_id), None)
    return _Wanted(member, request.draw_id, found, request.post, request.keyed)


def _opening(wanted: Sequence[_Wanted], now: datetime) -> dict[DrawKey, OfferedDraw]:
    """The draws that are open by their definitions."""
    return {
        each.draw_key: each.offered
        for each in wanted
        if each.offered is not None and each.offered.opens_at <= now < each.offered.closes_at
    }


def _check_budget(exhausted: Mapping[DrawKey, str], wanted: _Wanted) -> _Wanted:
    """Raises Refusal budget_exhausted where the prizes of a draw that begins cannot be paid."""
    if wanted.draw_key in exhausted:
        raise Refusal(Code.BUDGET_EXHAUSTED, campaign=exhausted[wanted.draw_key])
    return wanted


async def _lock(
    services: Services, conn: AsyncConnection, wanted: Sequence[_Wanted], *, now: datetime
) -> _State:
    closed = await store.lock_members(conn, [each.member.key for each in wanted])
    rows = await store.lock_draws(conn, [each.draw_key for each in wanted])
    begun = {key: offered.begin(key) for key, offered in _opening(wanted, now).items() if key not in rows}
    if begun:
        await store.begin_draws(conn, [begun[key] for key in sorted(begun)])
        # The others are locked already, so none is awaited that stands before them.
        rows |= await store.lock_draws(conn, begun)
    draws = {key: (row, await begun_draw(services, row)) for key, row in rows.items()}
    entered = await store.read_entered(conn, [each.key for each in wanted])
    return _State(now, closed, draws, {key: row.last_number for key, row in rows.items()}, entered, [])


def _enter(state: _State, wanted: _Wanted) -> DrawEntry:
    """Raises Refusal not_found, draw_closed, entry_rejected, already_entered, draw_full; AccountClosed."""
    if state.closed.get(wanted.member.key, True):
        raise AccountClosed
    row, draw = _open_draw(state, wanted)
    check_post(draw.conditions, wanted.post)
    if wanted.key in state.entered:
        raise Refusal(Code.ALREADY_ENTERED, number=state.entered[wanted.key])
    if state.last_numbers[row.key] >= MOST_ENTRIES:
        raise Refusal(Code.DRAW_FULL, limit=MOST_ENTRIES)
    number = state.last_numbers[row.key] = state.last_numbers[row.key] + 1
    state.entered[wanted.key] = number
    added = _row(state, wanted, number)
    state.entries.append(added)
    return DrawEntry(added.entry_id, number, added.entered_as, added.salt, added.hash)


def _open_draw(state: _State, wanted: _Wanted) -> tuple[DrawRow, Draw]:
    """Raises Refusal not_found, draw_closed."""
    known, offered = state.draws.get(wanted.draw_key), wanted.offered
    if known is None:
        if offered is None or state.now < offered.opens_at:
            raise Refusal(Code.NOT_FOUND)
        raise Refusal(Code.DRAW_CLOSED, closes_at=offered.closes_at)
    row, _ = known
    if offered is None and is_of_campaign(row.version):
        raise Refusal(Code.NOT_FOUND)  # It is for others, or ends without further entries.
    if row.state != "open" or state.now >= row.closes_at:
        raise Refusal(Code.DRAW_CLOSED, closes_at=row.closes_at)
    if offered is not None and state.now < offered.opens_at:
        raise Refusal(Code.NOT_FOUND)  # It opens later in the member's zone.
    return known


def _row(state: _State, wanted: _Wanted, number: int) -> EntryRow:
    program_id, member_id = wanted.member.key
    salt = secrets.token_hex(SALT_BYTES)
    return EntryRow(
        program_id=program_id,
        member_id=member_id,
        draw_id=wanted.draw_id,
        number=number,
        entry_id=new_id(),
        entered_as=member_id,
        salt=salt,
        hash=entry_hash(
            program=program_id, draw_id=wanted.draw_id, number=number, member_id=member_id, salt=salt
        ),
        post=None if wanted.post is None else msgspec.json.encode(wanted.post).decode(),
        entered_at=state.now,
    )
