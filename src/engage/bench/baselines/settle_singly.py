"""The baseline of `settle`: a transaction for each credit, with one statement for each step."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from engage.domain.accounts.balance import Balance
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.signals.topics import change_of

CreditKey = tuple[str, str, UUID]  # Program, member, credit.

_DUE = text("""
SELECT program_id, member_id, id FROM credits
WHERE state = 'pending' AND due_at <= :now ORDER BY due_at LIMIT :limit
""")

_LOCK = text("""
SELECT points, expires_at FROM credits
WHERE program_id = :program_id AND member_id = :member_id AND id = :id AND state = 'pending'
FOR UPDATE
""")

_ACTIVATE = text("""
UPDATE credits SET state = 'active', active_at = :now
WHERE program_id = :program_id AND member_id = :member_id AND id = :id
""")

_MOVE = text("""
UPDATE balances SET active = active + :points, pending = pending - :points, version = version + 1
WHERE program_id = :program_id AND member_id = :member_id
RETURNING active, pending, held, debt, version
""")

_ENTRY = text("""
INSERT INTO entries (program_id, member_id, seq, kind, at, active_delta, house_account, house_delta,
                     balance_after, credit_id)
VALUES (:program_id, :member_id, :seq, 'earning', :now, :points, 'issued', -CAST(:points AS bigint),
        :balance_after, :id)
""")

_LOT = text("""
INSERT INTO lots (program_id, member_id, credit_id, entry_seq, points, remaining, active_at, expires_at)
VALUES (:program_id, :member_id, :id, :seq, :points, :points, :now, :expires_at)
""")


async def due_credits(db: AsyncEngine, *, now: datetime, limit: int) -> list[CreditKey]:
    """Return the credits that are due. A queue with one job for each credit would contain them."""
    async with transaction(db) as conn:
        return [(row[0], row[1], row[2]) for row in await conn.execute(_DUE, {"now": now, "limit": limit})]


async def settle_credit(services: Services, key: CreditKey, *, now: datetime) -> None:
    """Lock and activate the credit, move the balance, write the entry and the lot, commit, and publish."""
    program_id, member_id, id_ = key
    member = {"program_id": program_id, "member_id": member_id}
    credit = member | {"id": id_}
    async with transaction(services.db) as conn:
        points, expires_at = (await conn.execute(_LOCK, credit)).one()
        await conn.execute(_ACTIVATE, credit | {"now": now})
        balance = Balance(*(await conn.execute(_MOVE, member | {"points": points})).one())
        entry = credit | {"now": now, "seq": balance.seq, "points": points}
        await conn.execute(_ENTRY, entry | {"balance_after": balance.active})
        await conn.execute(_LOT, entry | {"expires_at": expires_at})
    await services.topics.publish([change_of(program_id, member_id, balance, "active")])
