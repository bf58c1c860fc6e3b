"""Members and their opening balances are brought from a file, in batches that are a transaction each.

A batch is there as a whole or not at all, and what is there is not brought again: killed at any moment and
started anew, an import goes on. Each row is taken, is there already, or is rejected with a reason.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain import calendar
from engage.domain.accounts.account import Lot
from engage.domain.accounts.expiry import expires_at
from engage.domain.program.program import Program
from engage.domain.refusals import Code, Refusal, Unavailable
from engage.flows.members.import_file import Row, Table, is_utf8, read_cells, rows_of
from engage.flows.members.register import MemberRegistration, check_eligible, new_member, offered
from engage.ledger.accounts import open_accounts
from engage.ledger.opening import (
    OPENING_RULE,
    OpeningCredit,
    add_opening_credits,
    read_opening_points,
    source_key,
)
from engage.runtime.ids import new_id
from engage.runtime.posting import Posting, open_posting
from engage.runtime.services import Services
from engage.store.members.batches import StoredRows, add_members, read_stored
from engage.store.members.members import NewMember

ROWS_PER_BATCH: Final = 2_000
MOST_POINTS: Final = 1_000_000_000
ATTEMPTS: Final = 5


class MemberRow(MemberRegistration, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row of the file. Dates of `expires_at` and `earned_at` are days in the member's zone."""

    points: Annotated[int, Meta(ge=0, le=MOST_POINTS)] = 0
    expires_at: str | None = None
    earned_at: str | None = None


class ImportCandidate(Struct, frozen=True):
    """A row that could be read: the member it makes, and the credit if they have one who are members yet."""

    row: Row
    member: NewMember
    credit: OpeningCredit | None


class ImportCounts(Struct):
    """Rows are imported, there already (`existing`) or rejected. `members` are new, `points` were opened."""

    rows: int = 0
    imported: int = 0
    existing: int = 0
    rejected: int = 0
    members: int = 0
    points: int = 0


Rejections = list[tuple[Row, str]]


class _Batch(Struct):
    """What is to be written of a batch, and how many rows there is nothing to be done for."""

    members: list[NewMember]
    credits: list[OpeningCredit]
    existing: int = 0


class _Overtaken(Exception):
    """Somebody else has meanwhile taken what this batch found free."""


async def import_members(
    services: Services,
    table: Table,
    *,
    program_id: str,
    name: str,
    rejected: Callable[[Rejections], None],
    told: Callable[[ImportCounts], None],
    rows_per_batch: int = ROWS_PER_BATCH,
) -> ImportCounts:
    """`rejected` hears of the rows of each batch that were not taken, `told` of what it has come to so far.

    Under one name a member gets one opening balance. Of who is a member already nothing else is taken.
    Raises Refusal unknown_program, Unavailable.
    """
    services.programs.known(program_id)
    counts = ImportCounts()
    lines: dict[str, int] = {}
    reading = rows_of(table)
    while rows := list(islice(reading, rows_per_batch)):
        coming, bad = _read(services, table, rows, program_id, name=name, lines=lines)
        bad += await _bring(services, coming, program_id, name=name, counts=counts)
        counts.rows += len(rows)
        counts.rejected += len(bad)
        rejected(sorted(bad, key=lambda each: each[0].line))
        told(counts)
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
    """What can be said of rows without asking who is there. `lines` are of the members seen so far."""
    coming: list[ImportCandidate] = []
    bad: Rejections = []
    for row in rows:
        try:
            brought = _brought(table, row, program_id)
            earlier = lines.setdefault(brought.member_id, row.line)
            if earlier != row.line:
                raise ValueError(f"line {earlier} is of {brought.member_id} already")
            coming.append(_coming(services, row, brought, name=name))
        except Refusal as refusal:
            bad.append((row, _reason(refusal)))
        except ValueError as error:
            bad.append((row, str(error)))
    return coming, bad


def _brought(table: Table, row: Row, program_id: str) -> MemberRow:
    """Raises ValueError, which says what is wrong."""
    said: dict[str, object] = dict(read_cells(table, row))
    if not all(field.isascii() or is_utf8(field) for field in row.fields):
        raise ValueError("not UTF-8")
    if "card_numbers" in said:
        cards = str(said["card_numbers"]).split(";")
        said["card_numbers"] = [card for each in cards if (card := each.strip())]
    try:
        return msgspec.convert({**said, "program": program_id}, MemberRow, strict=False)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        column = where.rstrip("`").partition("[")[0]
        shown = f" {said[column]!s:.60}" if column in said else ""
        raise ValueError(f"{column}{shown}: {what}" if column else what) from None


def _coming(services: Services, row: Row, brought: MemberRow, *, name: str) -> ImportCandidate:
    """Raises Refusal not_eligible, ValueError."""
    now = services.clock.now()
    program, zone = offered(services, brought, now)
    check_eligible(program.eligibility, brought, today=calendar.local_date(now, zone))
    member = new_member(services, program, brought)
    if not brought.points:
        return ImportCandidate(row, member, None)
    earned_at = now if brought.earned_at is None else _moment(brought.earned_at, "earned_at", zone, end=False)
    if earned_at > now:
        raise ValueError(f"earned_at {brought.earned_at}: in the future")
    if brought.expires_at is None:
        ends_at = expires_at(program.expiry, now, zone)
    else:
        ends_at = _moment(brought.expires_at, "expires_at", zone, end=True)
        if ends_at <= now:
            raise ValueError(f"expires_at {brought.expires_at}: these points have expired")
    credit = OpeningCredit(
        program_id=program.id,
        member_id=brought.member_id,
        id=new_id(),
        points=brought.points,
        program_version=program.version,
        activity_at=earned_at,
        expires_at=ends_at,
        why=_why(program, row, name=name, at=earned_at, zone=zone),
    )
    return ImportCandidate(row, member, credit)


def _moment(said: str, column: str, zone: str, *, end: bool) -> datetime:
    """An instant in RFC 3339; of a date, the beginning of that day in the member's zone, or its end."""
    try:
        if len(said) == len("2026-12-31"):
            day = msgspec.convert(said, date)
            return calendar.start_of_day(day + timedelta(days=1) if end else day, zone)
        at: datetime = msgspec.convert(said, Annotated[datetime, Meta(tz=True)])
        return at.astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        expected = "neither a date nor a time, as 2026-12-31 or 2026-12-31T18:00:00Z"
        raise ValueError(f"{column} {said:.60}: {expected}") from None


def _why(program: Program, row: Row, *, name: str, at: datetime, zone: str) -> dict[str, object]:
    return {
        "program": program.id,
        "version": program.version,
        "rule": OPENING_RULE,
        "at": at,
        "zone": zone,
        "inputs": {"import": name, "line": row.line},
        "trace": [f"an opening balance, brought by the import {name}"],
    }


async def _bring(
    services: Services, coming: Sequence[ImportCandidate], program_id: str, *, name: str, counts: ImportCounts
) -> Rejections:
    """Writes a batch in one transaction; the rows that could not be taken. Raises Unavailable."""
    for _ in range(ATTEMPTS):
        try:
            async with open_posting(services, cause="opening") as posting:
                known = await _known(posting.conn, coming, program_id)
                points = await _opened(posting.conn, coming, program_id, name=name)
                batch, bad = _sort(coming, known, points, name=name)
                await _write(services, posting, batch, name=name)
        except _Overtaken:
            continue
        counts.imported += len(coming) - len(bad) - batch.existing
        counts.existing += batch.existing
        counts.members += len(batch.members)
        counts.points += sum(credit.points for credit in batch.credits)
        return bad
    raise Unavailable("postgres")


async def _known(conn: AsyncConnection, coming: Sequence[ImportCandidate], program_id: str) -> StoredRows:
    return await read_stored(
        conn,
        program_id,
        member_ids=[one.member.member_id for one in coming],
        person_hashes=[hashed for one in coming if (hashed := one.member.person_hash) is not None],
        card_numbers=[card for one in coming for card in one.member.card_numbers],
    )


async def _opened(
    conn: AsyncConnection, coming: Sequence[ImportCandidate], program_id: str, *, name: str
) -> dict[str, int]:
    ids = [one.credit.member_id for one in coming if one.credit is not None]
    return await read_opening_points(conn, program_id, ids, name=name)


def _sort(
    coming: Sequence[ImportCandidate], known: StoredRows, opened: Mapping[str, int], *, name: str
) -> tuple[_Batch, Rejections]:
    """Row after row, as if each came alone: of two with one card, the first has it."""
    batch, bad = _Batch([], []), []
    for one in coming:
        try:
            new = _check_known(one, known, opened, name=name)
        except Refusal as refusal:
            bad.append((one.row, _reason(refusal)))
            continue
        except ValueError as error:
            bad.append((one.row, str(error)))
            continue
        credit = None if one.member.member_id in opened else one.credit
        if new:
            batch.members.append(one.member)
            known.cards.update(dict.fromkeys(one.member.card_numbers, one.member.member_id))
            if one.member.person_hash is not None:
                known.persons.add(one.member.person_hash)
        if credit is not None:
            batch.credits.append(credit)
        if not new and credit is None:
            batch.existing += 1
    return batch, bad


def _check_known(one: ImportCandidate, known: StoredRows, opened: Mapping[str, int], *, name: str) -> bool:
    """Whether they are new. Raises Refusal person_has_account or card_taken; ValueError where who is a member
    already is another one than the row says.
    """
    member = known.members.get(one.member.member_id)
    if member is None:
        if one.member.person_hash in known.persons:
            raise Refusal(Code.PERSON_HAS_ACCOUNT)
        taken = sorted(card for card in one.member.card_numbers if card in known.cards)
        if taken:
            raise Refusal(Code.CARD_TAKEN, card_numbers=taken)
        return True
    if member.closed:
        raise ValueError(f"{one.member.member_id} was merged into another member, or erased")
    if member.country != one.member.country:
        raise ValueError(f"{one.member.member_id} is a member in {member.country}")
    points = opened.get(one.member.member_id)
    if points is not None and one.credit is not None and points != one.credit.points:
        raise ValueError(
            f"{one.member.member_id} has an opening balance of {points} points by {name} already"
        )
    return False


async def _write(services: Services, posting: Posting, batch: _Batch, *, name: str) -> None:
    """Raises _Overtaken."""
    conn, now = posting.conn, services.clock.now()
    if batch.members and not await add_members(conn, batch.members, now=now):
        raise _Overtaken
    if not batch.credits:
        return
    if not await add_opening_credits(conn, batch.credits, name=name, now=now):
        raise _Overtaken
    keys = [(credit.program_id, credit.member_id) for credit in batch.credits]
    accounts = await open_accounts(conn, keys, now=now)
    for key, credit in zip(keys, batch.credits, strict=True):
        lot = Lot(credit.id, credit.points, credit.points, 0, now, credit.expires_at)
        accounts.by_key[key].open_lot(lot, now, kind="opening", out_of="opening", reference=source_key(name))
    await posting.post(accounts)


def _reason(refusal: Refusal) -> str:
    facts = [str(one) for fact in refusal.facts.values() if isinstance(fact, list) for one in fact]
    return f"{refusal.code}: {', '.join(facts)}" if facts else refusal.code
