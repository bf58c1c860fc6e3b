"""A member's statement: credits, and entries of the balance, in pages.

Pages go by key, newest first, so that rows added meanwhile neither shift nor repeat anything.
"""

from uuid import UUID

from msgspec import Struct

from engage.domain.refusals import Code, Refusal
from engage.ledger import credits
from engage.ledger.adjustments import read_reasons
from engage.ledger.credits import Credit, CreditState, Entry
from engage.runtime.database import one_statement, snapshot
from engage.runtime.services import Services


async def read_credits(
    services: Services,
    program_id: str,
    member_id: str,
    *,
    state: CreditState | None,
    before: UUID | None,
    limit: int,
) -> list[Credit]:
    """Read up to `limit` credits older than `before`. Raises Refusal unknown_member; Unavailable."""
    member_id = (await services.members.get(services.db, program_id, member_id)).member_id
    async with one_statement(services.db) as conn:
        return await credits.list_credits(
            conn, program_id, member_id, state=state, before=before, limit=limit
        )


async def read_credit(services: Services, program_id: str, member_id: str, credit_id: UUID) -> Credit:
    """Read a credit of this member. Raises Refusal unknown_member, not_found; Unavailable."""
    member_id = (await services.members.get(services.db, program_id, member_id)).member_id
    async with one_statement(services.db) as conn:
        credit = await credits.read_credit(conn, program_id, member_id, credit_id)
    if credit is None:
        raise Refusal(Code.NOT_FOUND)
    return credit


async def read_entries(
    services: Services, program_id: str, member_id: str, *, before: int | None, limit: int
) -> list[Entry]:
    """Read up to `limit` entries with a seq below `before`. Raises Refusal unknown_member; Unavailable."""
    member_id = (await services.members.get(services.db, program_id, member_id)).member_id
    async with one_statement(services.db) as conn:
        return await credits.list_entries(conn, program_id, member_id, before=before, limit=limit)


class StatementLine(Struct, frozen=True):
    """An entry, with the credit that it is about, if any. `reason`: of the operator who adjusted points."""

    entry: Entry
    credit: Credit | None
    reason: str | None


async def read_statement(
    services: Services, program_id: str, member_id: str, *, before: int | None, limit: int
) -> list[StatementLine]:
    """Read up to `limit` entries as `read_entries` does, each with its credit. Raises Refusal unknown_member;
    Unavailable.
    """
    key = (await services.members.get(services.db, program_id, member_id)).key
    async with snapshot(services.db) as conn:
        entries = await credits.list_entries(conn, *key, before=before, limit=limit)
        ids = [entry.credit_id for entry in entries if entry.credit_id is not None]
        found = await credits.read_credits_by_id(conn, key, ids)
        adjusted = [entry.seq for entry in entries if entry.kind == "adjustment"]
        reasons = await read_reasons(conn, key, adjusted)
    return [
        StatementLine(
            entry,
            None if entry.credit_id is None else found.get(entry.credit_id),
            reasons.get(entry.seq),
        )
        for entry in entries
    ]
