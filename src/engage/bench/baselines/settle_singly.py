"""The baseline of `settle`: a transaction for each credit, with one statement for each step."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from engage.domain.accounts.balance import Balance
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.signals.changes import change_of

CreditKey = tuple[str, str, UUID]  # Program, member, credit.

_DUE = text("""
SELECT b.program_id, b.member_id, c.id FROM stored_credits c JOIN balances b USING (account)
WHERE c.state = 'pending' AND c.unit IS NULL AND c.due_at <= :now ORDER BY c.due_at LIMIT :limit
""")

_LOCK = text("""
SELECT c.account, c.points FROM stored_credits c JOIN balances b USING (account)
WHERE b.program_id = :program_id AND b.member_id = :member_id AND c.id = :id AND c.state = 'pending'
FOR UPDATE OF c
""")

_ACTIVATE = text("""
UPDATE stored_credits SET state = 'active', active_at = :now, remaining = :points, lot_seq = :seq
WHERE account = :account AND id = :id
""")

_MOVE = text("""
UPDATE balances SET active = active + :points, pending = pending - :points, version = version + 1
WHERE program_id = :program_id AND member_id = :member_id
RETURNING active, pending, held, debt, version
""")

_ENTRY = text("""
INSERT INTO stored_entries (account, seq, at, active_delta, house_delta, balance_after, credit_id)
VALUES (:account, :seq, :now, :points, -CAST(:points AS bigint), :balance_after, :id)
""")


async def due_credits(db: AsyncEngine, *, now: datetime, limit: int) -> list[CreditKey]:
    """Return the credits that are due. A queue with one job for each credit would contain them."""
    async with transaction(db) as conn:
        return [(row[0], row[1], row[2]) for row in await conn.execute(_DUE, {"now": now, "limit": limit})]


async def settle_credit(services: Services, key: CreditKey, *, now: datetime) -> None:
    """Lock the credit, move the balance, activate the credit, write the entry, commit, and publish."""
    program_id, member_id, id_ = key
    member = {"program_id": program_id, "member_id": member_id}
    credit = member | {"id": id_}
    async with transaction(services.db) as conn:
        account, points = (await conn.execute(_LOCK, credit)).one()
        balance = Balance(*(await conn.execute(_MOVE, member | {"points": points})).one())
        values = {"account": account, "id": id_, "now": now, "seq": balance.seq, "points": points}
        await conn.execute(_ACTIVATE, values)
        await conn.execute(_ENTRY, values | {"balance_after": balance.active})
    await services.topics.publish([change_of(program_id, member_id, balance, "active")])
