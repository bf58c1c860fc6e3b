"""Rows of an import, each checked by itself: a member to store and an opening credit, or a rejection."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from engage.domain import calendar
from engage.domain.document import decoding
from engage.domain.earning.trace import TraceCode, step
from engage.domain.keys import OPENING_RULE
from engage.domain.program.program import Program
from engage.domain.refusals import Refusal
from engage.flows.members.import_file import Row, Table, is_utf8, read_cells
from engage.flows.members.register import MemberRegistration, admit
from engage.ledger.opening import OpeningCredit
from engage.runtime.ids import new_id
from engage.runtime.services import Services
from engage.store.members.members import NewMember

# Points of one row.
LARGEST_OPENING: Final = 1_000_000_000

# As spreadsheets write a number that they neither round, group nor guess. Anything else would be a guess.
_WHOLE_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,15}")


class MemberRow(MemberRegistration, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row of the file. Dates in `expires_at` and `earned_at` are days in the member's zone."""

    points: Annotated[int, Meta(ge=0, le=LARGEST_OPENING)] = 0
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


Rejections = list[tuple[Row, str]]


def read_candidates(
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
            rejections.append((row, rejection_of(error)))
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


def rejection_of(error: Refusal | ValueError) -> str:
    if not isinstance(error, Refusal):
        return str(error)
    facts = [str(item) for fact in error.facts.values() if isinstance(fact, list) for item in fact]
    return f"{error.code}: {', '.join(facts)}" if facts else error.code
