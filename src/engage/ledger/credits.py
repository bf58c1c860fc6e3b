"""Credits and entries as members see them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.accounts.movements import EntryKind
from engage.domain.earning.trace import TraceCode
from engage.domain.earning.unit import Unit
from engage.domain.keys import MemberKey, ReferenceKey, SourceKey
from engage.schema.balances import account_of
from engage.schema.credits import credits as table
from engage.schema.rows import Batch, from_row

CreditState = Literal["pending", "active", "expired", "reversed"]


class Credit(msgspec.Struct, frozen=True, kw_only=True):
    """Points or status granted for one activity; a credit with a `boost` is beside that of its rule, and a
    `campaign` pays one for a while. It pays `points` now, or paid them last when it is reversed; `taken_back`
    of what was granted is gone. `why` has the inputs and the trace of the decision. Pending points without a
    due time wait for something; without a confirmation they lapse.
    """

    id: UUID
    rule: str
    points: int
    taken_back: int
    unit: Unit
    campaign: str | None
    boost: str | None
    state: CreditState
    due_at: datetime | None
    active_at: datetime | None
    expires_at: datetime | None
    source_key: str
    why: dict[str, Any]
    waits_for: Literal["delivery", "confirmation"] | None
    lapses_at: datetime | None


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A movement of the spendable balance, and its subject: the credit with its rule, campaign and boost, the
    order that earned or was paid, the hold, the coupon or F-code that was bought, the withdrawal. `corrects`
    is the seq of the entry that this one takes back.
    """

    seq: int
    kind: EntryKind
    points: int
    balance_after: int
    at: datetime
    credit_id: UUID | None
    rule: str | None
    campaign: str | None
    boost: str | None
    order_id: str | None
    hold_id: UUID | None
    coupon_id: UUID | None
    withdrawal_id: UUID | None
    corrects: int | None


class ReferencedCredit(msgspec.Struct, frozen=True):
    """A credit found by its reference. `removed`: its activity was removed. A credit that lapsed was not."""

    credit: Credit
    removed: bool


class OrderCredits(msgspec.Struct, frozen=True):
    """The ledger's word of a rule and an order: a credit in this state, if any, and how many of which the
    order lost the place.
    """

    state: Literal["pending", "active", "reversed"] | None = None
    due_at: datetime | None = None
    displaced: int = 0


# A credit whose lot has ended with something in it has expired.
_STATE = """CASE WHEN c.state = 'active' AND EXISTS (
    SELECT FROM stored_credits l
    WHERE l.account = c.account AND l.id = c.id AND l.expired > 0 AND l.remaining = 0
) THEN 'expired' ELSE c.state END"""
# A pending credit shrank by its reductions; one that was reversed while pending lost all of its points.
_TAKEN_BACK = """c.taken_back
    + coalesce((
        SELECT CAST(sum(r.points) AS bigint) FROM reductions r
        WHERE r.program_id = c.program_id AND r.member_id = c.member_id AND r.credit_id = c.id
    ), 0)
    + CASE WHEN c.state = 'reversed' AND (c.active_at IS NULL OR c.unit = 'status')
        THEN c.points ELSE 0 END"""
_PAYS = "CASE WHEN c.state = 'reversed' THEN c.points ELSE c.points - c.taken_back END"
_WAITS = "c.state = 'pending' AND c.due_at IS NULL"
# In the order of the fields of Credit.
_CREDIT = f"""c.id, c.rule_id, {_PAYS} AS pays, {_TAKEN_BACK} AS gone, c.unit, c.campaign, c.boost,
    {_STATE} AS state, c.due_at, c.active_at, c.expires_at, c.source_key, c.why,
    CASE WHEN {_WAITS} THEN
        CASE WHEN c.lapses_at IS NULL THEN 'delivery' ELSE 'confirmation' END
    END AS waits_for,
    CASE WHEN {_WAITS} THEN c.lapses_at END AS lapses_at"""

_REFERENCES = Batch("a", table, "program_id", "member_id", "reference")
_SOURCE_KEYS = Batch("a", table, "program_id", "member_id", "source_key")

_ACCOUNT = account_of(":program_id", ":member_id")

# A credit of 0 points is a removal's trace (`engage.ledger.clawback`), nothing that the member earned.
_LIST = text(f"""
SELECT {_CREDIT} FROM credits c
WHERE account = {_ACCOUNT} AND points > 0
  AND (CAST(:state AS text) IS NULL OR {_STATE} = :state)
  AND (CAST(:before AS uuid) IS NULL OR id < :before)
ORDER BY id DESC LIMIT :limit
""")  # noqa: S608  # Names of the schema, here and below.

_ONE = text(f"""
SELECT {_CREDIT} FROM credits c
WHERE program_id = :program_id AND member_id = :member_id AND id = :id AND points > 0
""")  # noqa: S608

_BY_IDS = text(f"""
SELECT {_CREDIT} FROM credits c
WHERE program_id = :program_id AND member_id = :member_id AND id = ANY(CAST(:ids AS uuid[]))
""")  # noqa: S608

_BY_REFERENCE = text(f"""
SELECT c.program_id, c.member_id, c.reference, {_CREDIT}
FROM {_REFERENCES} JOIN credits c USING (program_id, member_id, reference)
ORDER BY c.id
""")  # noqa: S608

_USED_KEYS = text(f"""
SELECT a.program_id, a.member_id, a.source_key
FROM {_SOURCE_KEYS} JOIN credits c USING (program_id, member_id, source_key)
""")  # noqa: S608

# A credit whose order has lost its place has no reference any more.
_OF_ORDERS = text("""
SELECT why -> 'activity' ->> 'order_id' AS order_id, rule_id, max(state) FILTER (WHERE reference IS NOT NULL),
       max(due_at) FILTER (WHERE reference IS NOT NULL), count(*) FILTER (WHERE reference IS NULL)
FROM credits
WHERE program_id = :program_id AND member_id = :member_id AND rule_id = ANY(:rules) AND beside IS NULL
GROUP BY order_id, rule_id
""")

# A hold belongs to an order, to what a redemption bought, or to a withdrawal.
_ENTRIES = text(f"""
WITH page AS MATERIALIZED (
    SELECT account, seq, kind, active_delta, balance_after, at, credit_id, hold_id, corrects FROM entries
    WHERE account = {_ACCOUNT} AND active_delta <> 0
      AND (CAST(:before AS bigint) IS NULL OR seq < :before)
    ORDER BY seq DESC LIMIT :limit
)
SELECT e.seq, e.kind, e.active_delta, e.balance_after, e.at, e.credit_id, c.rule_id AS rule,
       c.campaign, c.boost,
       coalesce(h.order_id, c.why -> 'activity' ->> 'order_id') AS order_id,
       e.hold_id, b.id AS coupon_id, w.id AS withdrawal_id, e.corrects
FROM page e
LEFT JOIN credits c ON (c.account, c.id) = (e.account, e.credit_id)
LEFT JOIN holds h ON (h.program_id, h.member_id, h.id) = (:program_id, :member_id, e.hold_id)
LEFT JOIN coupons b ON (b.program_id, b.member_id, b.redemption_id) = (:program_id, :member_id, e.hold_id)
LEFT JOIN withdrawals w ON (w.program_id, w.member_id, w.hold_id) = (:program_id, :member_id, e.hold_id)
ORDER BY e.seq DESC
""")  # noqa: S608


async def list_credits(
    conn: AsyncConnection,
    program_id: str,
    member_id: str,
    *,
    state: CreditState | None,
    before: UUID | None,
    limit: int,
) -> list[Credit]:
    """List a member's credits with an id below `before`, newest first."""
    rows = await conn.execute(
        _LIST,
        {
            "program_id": program_id,
            "member_id": member_id,
            "state": state,
            "before": before,
            "limit": limit,
        },
    )
    return [from_row(Credit, row) for row in rows]


async def read_credit(conn: AsyncConnection, program_id: str, member_id: str, id_: UUID) -> Credit | None:
    row = (
        await conn.execute(_ONE, {"program_id": program_id, "member_id": member_id, "id": id_})
    ).one_or_none()
    return None if row is None else from_row(Credit, row)


async def read_credits_by_id(
    conn: AsyncConnection, key: MemberKey, ids: Sequence[UUID]
) -> dict[UUID, Credit]:
    """Read these credits of a member, traces of removals included."""
    if not ids:
        return {}
    values = {"program_id": key[0], "member_id": key[1], "ids": list(ids)}
    credits = [from_row(Credit, row) for row in await conn.execute(_BY_IDS, values)]
    return {credit.id: credit for credit in credits}


async def read_by_reference(
    conn: AsyncConnection, references: Sequence[ReferenceKey]
) -> dict[ReferenceKey, list[ReferencedCredit]]:
    """Read the credits that have these references."""
    if not references:
        return {}
    rows = await conn.execute(_BY_REFERENCE, _REFERENCES.of(references))
    found: dict[ReferenceKey, list[ReferencedCredit]] = {}
    for program_id, member_id, reference, *row in rows:
        credit = from_row(Credit, row)
        lapsed = any(code == TraceCode.LAPSED for code, _ in credit.why["trace"])
        referenced = ReferencedCredit(credit, removed=credit.state == "reversed" and not lapsed)
        found.setdefault((program_id, member_id, reference), []).append(referenced)
    return found


async def read_used_keys(conn: AsyncConnection, keys: Sequence[SourceKey]) -> set[SourceKey]:
    """Read which of these source keys have a credit."""
    rows = await conn.execute(_USED_KEYS, _SOURCE_KEYS.of(keys))
    return {(program_id, member_id, source_key) for program_id, member_id, source_key in rows}


async def read_credits_of_orders(
    conn: AsyncConnection, key: MemberKey, rule_ids: Sequence[str]
) -> dict[tuple[str, str], OrderCredits]:
    """Read a member's credits of these rules about orders, by (order, rule)."""
    if not rule_ids:
        return {}
    values = {"program_id": key[0], "member_id": key[1], "rules": list(rule_ids)}
    rows = await conn.execute(_OF_ORDERS, values)
    return {(order_id, rule_id): OrderCredits(*known) for order_id, rule_id, *known in rows}


async def list_entries(
    conn: AsyncConnection, program_id: str, member_id: str, *, before: int | None, limit: int
) -> list[Entry]:
    """List a member's entries with a seq below `before`, newest first: the statement."""
    rows = await conn.execute(
        _ENTRIES, {"program_id": program_id, "member_id": member_id, "before": before, "limit": limit}
    )
    return [from_row(Entry, row) for row in rows]
