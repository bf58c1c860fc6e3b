"""Members who are members no more: merged into another one, or erased."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.keys import MemberKey

_NOTE = text("""
INSERT INTO closings (program_id, member_id, what, merged_into, reason, operator, at)
SELECT :program_id, member_id, CASE WHEN CAST(:into AS text) IS NULL THEN 'erased' ELSE 'merged' END, :into,
       :reason, :operator, :now
FROM unnest(CAST(:member_ids AS text[])) AS m (member_id)
""")

_LOCK_ORDERS = text("""
SELECT order_id FROM orders WHERE program_id = :program_id AND member_id = ANY(CAST(:member_ids AS text[]))
ORDER BY member_id, order_id FOR UPDATE
""")

# An order is one member's. Should both have a row of it, what either knows is known.
_MOVE_ORDERS = text("""
WITH gone AS (
    DELETE FROM orders WHERE program_id = :program_id AND member_id = :member_id
    RETURNING program_id, order_id, paid_at, paid, hold_id, program_version, zone, delivered_at,
              cancelled_at, returns
)
INSERT INTO orders AS o (program_id, member_id, order_id, paid_at, paid, hold_id, program_version, zone,
                         delivered_at, cancelled_at, returns)
SELECT program_id, :into, order_id, paid_at, paid, hold_id, program_version, zone, delivered_at,
       cancelled_at, returns
FROM gone
ON CONFLICT (program_id, member_id, order_id) DO UPDATE
SET paid_at = CASE WHEN o.paid IS NULL THEN excluded.paid_at ELSE o.paid_at END,
    paid = coalesce(o.paid, excluded.paid),
    hold_id = CASE WHEN o.paid IS NULL THEN excluded.hold_id ELSE o.hold_id END,
    program_version = CASE WHEN o.paid IS NULL THEN excluded.program_version ELSE o.program_version END,
    zone = CASE WHEN o.paid IS NULL THEN excluded.zone ELSE o.zone END,
    delivered_at = least(o.delivered_at, excluded.delivered_at),
    cancelled_at = least(o.cancelled_at, excluded.cancelled_at),
    returns = o.returns || excluded.returns
""")

_MOVE = tuple(
    text(f"UPDATE {table} SET member_id = :into WHERE program_id = :program_id AND member_id = :member_id")  # noqa: S608
    for table in ("card_numbers", "coupons", "withdrawals")
)

# Who was merged keeps the hash of their person reference: that person does not join again either.
_MERGE = text("""
WITH old AS (
    SELECT phone, birth_date, referral_code FROM members
    WHERE program_id = :program_id AND member_id = :member_id
), emptied AS (
    UPDATE members
    SET merged_into = :into, closed_at = :wall, phone = NULL, phone_changed_at = NULL, birth_date = NULL,
        referral_code = NULL
    WHERE program_id = :program_id AND (member_id = :member_id OR merged_into = :member_id)
)
UPDATE members m
SET phone = coalesce(m.phone, old.phone), birth_date = coalesce(m.birth_date, old.birth_date),
    referral_code = coalesce(m.referral_code, old.referral_code),
    phone_changed_at = CASE WHEN m.phone IS NULL AND old.phone IS NOT NULL THEN :now
                       ELSE m.phone_changed_at END
FROM old WHERE m.program_id = :program_id AND m.member_id = :into
""")

_FORGET = tuple(
    text(f"{statement} WHERE program_id = :program_id AND member_id = ANY(CAST(:member_ids AS text[]))")
    for statement in (
        "DELETE FROM card_numbers",
        "DELETE FROM orders",
        "DELETE FROM shop_events",
        "UPDATE closings SET reason = NULL",
        "UPDATE withdrawals SET phone = NULL, failure = NULL",
        # Nobody can use a code that nobody knows.
        "UPDATE coupons SET code = CAST(id AS text), order_id = NULL, closed_at = coalesce(closed_at, :now),"
        " state = CASE WHEN state IN ('issued', 'applied') THEN 'void' ELSE state END",
        "UPDATE members SET birth_date = NULL, phone = NULL, phone_changed_at = NULL, person_hash = NULL,"
        " referral_code = NULL, merged_into = NULL, erased_at = :now, closed_at = :wall",
    )
)

_FORGET_ANSWERS = text("DELETE FROM idempotency_keys WHERE caller = ANY(CAST(:callers AS text[]))")


async def add_closing(
    conn: AsyncConnection,
    program_id: str,
    member_ids: Sequence[str],
    *,
    into: str | None,
    reason: str | None,
    operator: str,
    now: datetime,
) -> None:
    """Who closed these members' accounts, and why."""
    await conn.execute(
        _NOTE,
        {
            "program_id": program_id,
            "member_ids": list(member_ids),
            "into": into,
            "reason": reason,
            "operator": operator,
            "now": now,
        },
    )


async def lock_orders(conn: AsyncConnection, program_id: str, member_ids: Sequence[str]) -> None:
    """Comes before credits and balances are locked."""
    await conn.execute(_LOCK_ORDERS, {"program_id": program_id, "member_ids": list(member_ids)})


async def merge_rows(
    conn: AsyncConnection, key: MemberKey, into: str, *, now: datetime, wall: datetime
) -> None:
    """All that is kept of a member outside the ledger is the other one's, and the member is merged."""
    names = {"program_id": key[0], "member_id": key[1], "into": into}
    for move in (_MOVE_ORDERS, *_MOVE):
        await conn.execute(move, names)
    await conn.execute(_MERGE, names | {"now": now, "wall": wall})


async def erase_rows(
    conn: AsyncConnection, program_id: str, member_ids: Sequence[str], *, now: datetime, wall: datetime
) -> None:
    """All that is personal about these members outside the ledger. Their ids stay, as owners of entries."""
    of = {"program_id": program_id, "member_ids": list(member_ids)}
    for statement in _FORGET:
        known = {
            name: value for name, value in (("now", now), ("wall", wall)) if f":{name}" in statement.text
        }
        await conn.execute(statement, of | known)
    callers = [f"member:{program_id}:{member_id}" for member_id in member_ids]
    await conn.execute(_FORGET_ANSWERS, {"callers": callers})
