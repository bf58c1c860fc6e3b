"""A member's statement: credits, and entries of the balance, in pages.

Pages go by key, newest first, so that rows added meanwhile neither shift nor repeat anything.
"""

from uuid import UUID

from engage.domain.refusals import Code, Refusal
from engage.ledger import credits
from engage.ledger.credits import Credit, CreditState, Entry
from engage.runtime.database import one_statement
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
