"""Import members and their opening balances from a file, one transaction a batch.

A batch is imported completely or not at all, and rows that are already there are left as they are. So an
import may be killed at any moment: started again, it continues. Each row is imported, existing, or rejected
with a reason.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Final

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.accounts.lots import Lot
from engage.domain.keys import opening_key
from engage.domain.refusals import Code, Refusal, Unavailable
from engage.flows.members.import_file import Table, rows_of
from engage.flows.members.import_rows import ImportCandidate, Rejections, read_candidates, rejection_of
from engage.ledger.accounts import open_accounts
from engage.ledger.opening import (
    OpeningCredit,
    add_opening_credits,
    read_opening_points,
)
from engage.ledger.person_slots import take_person_slots
from engage.runtime.posting import Posting, open_posting
from engage.runtime.services import Services
from engage.store.members.batches import StoredRows, add_members, read_stored, rehash_persons
from engage.store.members.members import NewMember

ROWS_PER_BATCH: Final = 2_000
ATTEMPTS: Final = 5


class ImportCounts(Struct):
    """Rows imported, `existing` already or rejected; new `members`, and `points` of opening balances."""

    rows: int = 0
    imported: int = 0
    existing: int = 0
    rejected: int = 0
    members: int = 0
    points: int = 0


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
        candidates, rejections = read_candidates(services, table, rows, program_id, name=name, lines=lines)
        rejections += await _import_batch(services, candidates, program_id, name=name, counts=counts)
        counts.rows += len(rows)
        counts.rejected += len(rejections)
        on_rejected(sorted(rejections, key=lambda rejection: rejection[0].line))
        on_progress(counts)
    assert counts.rows == counts.imported + counts.existing + counts.rejected
    return counts


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
            rejections.append((candidate.row, rejection_of(error)))
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
