"""Import members and their opening balances from a file, one transaction a batch.

A batch is imported completely or not at all, and rows that are already there are left as they are. So an
import may be killed at any moment: started again, it continues. Each row is imported, existing, or rejected
with a reason.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain import calendar
from engage.domain.accounts.lots import Lot
from engage.domain.document import decoding
from engage.domain.earning.trace import TraceCode, step
from engage.domain.keys import OPENING_RULE, opening_key
from engage.domain.program.program import Program
from engage.domain.refusals import Code, Refusal, Unavailable
from engage.flows.members.import_file import Row, Table, is_utf8, read_cells, rows_of
from engage.flows.members.register import MemberRegistration, admit
from engage.ledger.accounts import open_accounts
from engage.ledger.opening import (
    OpeningCredit,
    add_opening_credits,
    read_opening_points,
)
from engage.ledger.person_slots import take_person_slots
from engage.runtime.ids import new_id
from engage.runtime.posting import Posting, open_posting
from engage.runtime.services import Services
from engage.store.members.batches import StoredRows, add_members, read_stored, rehash_persons
from engage.store.members.members import NewMember

ROWS_PER_BATCH: Final = 2_000
MOST_POINTS: Final = 1_000_000_000
ATTEMPTS: Final = 5

# As spreadsheets write a number that they neither round, group nor guess. Anything else would be a guess.
_WHOLE_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,15}")


class MemberRow(MemberRegistration, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row of the file. Dates in `expires_at` and `earned_at` are days in the member's zone."""

    points: Annotated[int, Meta(ge=0, le=MOST_POINTS)] = 0
    expires_at: str | None = None
    earned_at: str | None = None


class ImportCandidate(Struct, frozen=True):
    """A valid row: the member to store, and their opening credit if there are points. One who `lacks_person`
    is not stored: the program wants a reference of new members.
    """

    row: Row
    member: NewMember
    lacks_person: bool
    credit: OpeningCredit | None = None


class ImportCounts(Struct):
    """Rows imported, `existing` already or rejected; new `members`, and `points` of opening balances."""

    rows: int = 0
    imported: int = 0
    existing: int = 0
    rejected: int = 0
    members: int = 0
    points: int = 0


Rejections = list[tuple[Row, str]]


class _Batch(Struct):
    """Rows to write, and the number of rows with nothing to do."""

    members: list[NewMember]
    credits: list[OpeningCredit]
    existing: int = 0


class _Overtaken(Exception):
    """Another transaction has stored a member, person or card of this batch first."""


async def import_members(
    services: Services,
    table: Table,
    *,
    program_id: str,
    name: str,
    on_rejected: Callable[[Rejections], None],
    on_progress: Callable[[ImportCounts], None],
    rows_per_batch: int = ROWS_PER_BATCH,
) -> ImportCounts:
    """Import a file; call `on_rejected` and `on_progress` after each batch.

    Each member gets one opening balance per import `name`. Nothing else of an existing member changes.
    Raises Refusal unknown_program; Unavailable.
    """
    services.programs.get(program_id)
    counts = ImportCounts()
    lines: dict[str, int] = {}
    reader = rows_of(table)
    while rows := list(islice(reader, rows_per_batch)):
        candidates, rejections = _read(services, table, rows, program_id, name=name, lines=lines)
        rejections += await _import_batch(services, candidates, program_id, name=name, counts=counts)
        counts.rows += len(rows)
        counts.rejected += len(rejections)
        on_rejected(sorted(rejections, key=lambda rejection: rejection[0].line))
        on_progress(counts)
    assert counts.rows == counts.imported + counts.existing + counts.rejected
    return counts


def _read(
    services: Services,
    table: Table,
    rows: Sequence[Row],
    program_id: str,
    *,
    name: str,
    lines: dict[str, int],
) -> tuple[list[ImportCandidate], Rejections]:
    """Validate rows without the database. `lines` has the line of each member id so far."""
    candidates: list[ImportCandidate] = []
    rejections: Rejections = []
    for row in rows:
        try:
            fields = _parse(table, row, program_id)
            earlier = lines.setdefault(fields.member_id, row.line)
            if earlier != row.line:
                raise ValueError(f"line {earlier} has {fields.member_id} already")
            candidates.append(_candidate(services, row, fields, name=name))
        except (Refusal, ValueError) as error:
            rejections.append((row, _reason(error)))
    return candidates, rejections


def _parse(table: Table, row: Row, program_id: str) -> MemberRow:
    """Raises ValueError with the columns and their problems."""
    cells: dict[str, Any] = dict(read_cells(table, row))
    if not all(field.isascii() or is_utf8(field) for field in row.fields):
        raise ValueError("not UTF-8")
    if "card_numbers" in cells:
        numbers = cells["card_numbers"].split(";")
        cells["card_numbers"] = [card for number in numbers if (card := number.strip())]
    if "points" in table.columns and (written := row.fields[table.columns.index("points")]):
        cells["points"] = int(written) if _WHOLE_NUMBER.fullmatch(written) else written
    fields = {**cells, "program": program_id}
    try:
        return msgspec.convert(fields, MemberRow)
    except msgspec.ValidationError:
        problems = decoding.mismatches(fields, MemberRow)
        raise ValueError("; ".join(f"column {problem}" for problem in problems)) from None


def _candidate(services: Services, row: Row, fields: MemberRow, *, name: str) -> ImportCandidate:
    """Raises Refusal not_eligible, invalid_phone, invalid_card; ValueError for impossible times."""
    now = services.clock.now()
    admission = admit(services, fields, now=now)
    program, zone = admission.program, admission.zone
    if not fields.points:
        return ImportCandidate(row, admission.member, admission.lacks_person)
    earned_at = now
    if fields.earned_at is not None:
        earned_at = _instant(fields.earned_at, "earned_at", zone, end_of_day=False)
        if earned_at > now:
            raise ValueError(f"earned_at {fields.earned_at}: in the future")
    if fields.expires_at is None:
        ends_at = program.expiry.expires_at(now, zone)
    else:
        ends_at = _instant(fields.expires_at, "expires_at", zone, end_of_day=True)
        if ends_at <= now:
            raise ValueError(f"expires_at {fields.expires_at}: these points have expired")
    credit = OpeningCredit(
        program_id=program.id,
        member_id=fields.member_id,
        id=new_id(),
        points=fields.points,
        program_version=program.version,
        activity_at=earned_at,
        expires_at=ends_at,
        why=_why(program, row, name=name, at=earned_at, zone=zone),
    )
    return ImportCandidate(row, admission.member, admission.lacks_person, credit)


def _instant(value: str, column: str, zone: str, *, end_of_day: bool) -> datetime:
    """Parse an instant in RFC 3339, or a date: the start or the end of that day in the member's zone."""
    try:
        if len(value) == len("2026-12-31"):
            day = msgspec.convert(value, date)
            return calendar.start_of_day(day + timedelta(days=1) if end_of_day else day, zone)
        at: datetime = msgspec.convert(value, Annotated[datetime, Meta(tz=True)])
        return at.astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        expected = "neither a date nor a time, as 2026-12-31 or 2026-12-31T18:00:00Z"
        raise ValueError(f"{column} {value:.60}: {expected}") from None


def _why(program: Program, row: Row, *, name: str, at: datetime, zone: str) -> dict[str, object]:
    return {
        "program": program.id,
        "version": program.version,
        "rule": OPENING_RULE,
        "at": at,
        "zone": zone,
        "inputs": {"import": name, "line": row.line},
        "trace": [step(TraceCode.OPENING, **{"import": name})],
    }


async def _import_batch(
    services: Services,
    candidates: Sequence[ImportCandidate],
    program_id: str,
    *,
    name: str,
    counts: ImportCounts,
) -> Rejections:
    """Write a batch in one transaction and count it; return the rejected rows. Raises Unavailable."""
    for _ in range(ATTEMPTS):
        try:
            async with open_posting(services, cause="opening") as posting:
                stored = await _rehash_and_read(posting.conn, candidates, program_id)
                ids = [candidate.member.member_id for candidate in candidates if candidate.credit is not None]
                opened = await read_opening_points(posting.conn, program_id, ids, name=name)
                batch, rejections = _sort(candidates, stored, opened, name=name)
                await _write(services, posting, batch, name=name)
        except _Overtaken:
            continue
        counts.imported += len(candidates) - len(rejections) - batch.existing
        counts.existing += batch.existing
        counts.members += len(batch.members)
        counts.points += sum(credit.points for credit in batch.credits)
        return rejections
    raise Unavailable("postgres")


async def _rehash_and_read(
    conn: AsyncConnection, candidates: Sequence[ImportCandidate], program_id: str
) -> StoredRows:
    members = [candidate.member for candidate in candidates]
    await rehash_persons(conn, program_id, members)
    return await read_stored(
        conn,
        program_id,
        member_ids=[member.member_id for member in members],
        person_hashes=[hashed for member in members for hashed in member.person_hashes],
        card_numbers=[card for member in members for card in member.card_numbers],
    )


def _sort(
    candidates: Sequence[ImportCandidate], stored: StoredRows, opened: Mapping[str, int], *, name: str
) -> tuple[_Batch, Rejections]:
    """Decide row by row: of two rows with the same card, the first gets it."""
    batch, rejections = _Batch([], []), []
    for candidate in candidates:
        try:
            is_new = _check_stored(candidate, stored, opened, name=name)
        except (Refusal, ValueError) as error:
            rejections.append((candidate.row, _reason(error)))
            continue
        member = candidate.member
        credit = None if member.member_id in opened else candidate.credit
        if is_new:
            batch.members.append(member)
            stored.cards.update(dict.fromkeys(member.card_numbers, member.member_id))
            if member.person_hash is not None:
                stored.persons.add(member.person_hash)
        if credit is not None:
            batch.credits.append(credit)
        if not is_new and credit is None:
            batch.existing += 1
    return batch, rejections


def _check_stored(
    candidate: ImportCandidate, stored: StoredRows, opened: Mapping[str, int], *, name: str
) -> bool:
    """Return true for a new member. Raises Refusal person_ref_required, person_has_account, card_taken;
    ValueError if the stored member contradicts the row.
    """
    member = candidate.member
    known = stored.members.get(member.member_id)
    if known is None:
        if candidate.lacks_person:
            raise Refusal(Code.PERSON_REF_REQUIRED)
        if not stored.persons.isdisjoint(member.person_hashes):
            raise Refusal(Code.PERSON_HAS_ACCOUNT)
        taken = sorted(card for card in member.card_numbers if card in stored.cards)
        if taken:
            raise Refusal(Code.CARD_TAKEN, card_numbers=taken)
        return True
    if known.closed:
        raise ValueError(f"{member.member_id} was merged into another member, or erased")
    if known.country != member.country:
        raise ValueError(f"{member.member_id} is a member in {known.country}")
    points = opened.get(member.member_id)
    if points is not None and candidate.credit is not None and points != candidate.credit.points:
        raise ValueError(f"{member.member_id} has an opening balance of {points} points by {name} already")
    return False


async def _write(services: Services, posting: Posting, batch: _Batch, *, name: str) -> None:
    """Raises _Overtaken."""
    conn, now = posting.conn, services.clock.now()
    if batch.members and not await add_members(conn, batch.members, now=now):
        raise _Overtaken
    persons = [(member.key, hashed) for member in batch.members for hashed in member.person_hashes]
    await take_person_slots(conn, persons, now=now)
    if not batch.credits:
        return
    if not await add_opening_credits(conn, batch.credits, name=name, now=now):
        raise _Overtaken
    keys = [(credit.program_id, credit.member_id) for credit in batch.credits]
    accounts = await open_accounts(conn, keys, now=now)
    for key, credit in zip(keys, batch.credits, strict=True):
        lot = Lot(credit.id, credit.points, credit.points, 0, now, credit.expires_at)
        accounts.by_key[key].open_lot(lot, now, kind="opening", out_of="opening", reference=opening_key(name))
    await posting.post(accounts)


def _reason(error: Refusal | ValueError) -> str:
    if not isinstance(error, Refusal):
        return str(error)
    facts = [str(item) for fact in error.facts.values() if isinstance(fact, list) for item in fact]
    return f"{error.code}: {', '.join(facts)}" if facts else error.code
