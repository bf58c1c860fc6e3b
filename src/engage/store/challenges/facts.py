"""The facts that challenges count, of many members in one statement.

Read from what the ledger and the orders say now, so what was taken back is no fact any more. A member who was
merged is a part of the survivor: their rows of credits stay as history, so the facts are those of all
accounts. Of a credit that went from one account to another the newest row that has points says how it is.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.challenges.facts import CHALLENGE_STEP, ORDER, Fact, credit_fact, order_facts
from engage.domain.challenges.interest import Interest
from engage.domain.earning.order_facts import OrderFacts
from engage.domain.keys import MemberKey
from engage.schema.credits import credits
from engage.schema.rows import Batch
from engage.store.shop.orders import facts_of_row

# The facts of a member since an instant.
FactsQuery = tuple[str, str, datetime]  # (program, member, since)

_MEMBERS = Batch("k", credits, "program_id", "member_id", since="timestamptz")


def _facts(wanted: str, prefix: str = "") -> str:
    """A query for the facts of the members of `wanted`, a query for their program, id and `since`.

    Member by member, through indexes: joined at once, it may be planned as a walk over all credits. A row of
    a survivor has no `merged_at`.
    """
    activities = f"CAST(:{prefix}activities AS text[])"
    return f"""
WITH wanted AS MATERIALIZED (
    {wanted}
), accounts AS MATERIALIZED (
    SELECT program_id, member_id, since, member_id AS account, CAST(NULL AS timestamptz) AS merged_at
    FROM wanted
    UNION ALL
    SELECT w.program_id, w.member_id, w.since, m.member_id, m.at
    FROM wanted w
    CROSS JOIN LATERAL (
        SELECT m.member_id, x.at
        FROM members m
        LEFT JOIN closings x
            ON x.program_id = m.program_id AND x.member_id = m.member_id AND x.what = 'merged'
        WHERE m.program_id = w.program_id AND m.merged_into = w.member_id
        OFFSET 0
    ) m
)
SELECT a.program_id, a.member_id, a.merged_at, c.*, NULL AS paid, NULL AS hold_id, NULL AS program_version,
       NULL AS delivered_at, NULL AS cancelled_at, NULL AS returns
FROM accounts a
CROSS JOIN LATERAL (
    SELECT c.id, c.state, CASE c.unit WHEN 'points' THEN c.points - c.taken_back ELSE 0 END AS points,
           c.reference, c.activity_at,
           c.why ->> 'zone' AS zone, c.why -> 'activity' ->> 'activity' AS activity,
           c.why -> 'activity' ->> 'product_id' AS product_id,
           coalesce(c.why -> 'activity' ->> 'kind', c.why -> 'activity' ->> 'page') AS detail
    FROM credits c
    WHERE c.program_id = a.program_id AND c.member_id = a.account AND c.activity_at >= a.since
      AND c.points > 0
      AND (c.why -> 'activity' ->> 'activity' = ANY({activities})
           OR (CAST(:{prefix}points AS bool) AND c.why -> 'activity' ->> 'activity' <> '{CHALLENGE_STEP}'))
    OFFSET 0
) c
UNION ALL
SELECT w.program_id, w.member_id, NULL, NULL, NULL, NULL, o.order_id, o.paid_at, o.zone, NULL, NULL, NULL,
       CAST(o.paid AS text), o.hold_id, o.program_version, o.delivered_at, o.cancelled_at,
       CAST(o.returns AS text)
FROM wanted w
CROSS JOIN LATERAL (
    SELECT * FROM orders o
    WHERE o.program_id = w.program_id AND o.member_id = w.member_id AND o.paid_at >= w.since
    OFFSET 0
) o
WHERE '{ORDER}' = ANY({activities})
"""  # noqa: S608  # Names of the schema and constants.


_READ = text(_facts(f"SELECT * FROM {_MEMBERS}"))  # noqa: S608  # As above.


def facts_sql(member: str) -> str:
    """An expression for the facts of a member, as `facts_in` reads it. `member` is an alias of a row with
    `program_id` and `member_id`; `facts_parameters` has its parameters.
    """
    since = "CAST(:fact_since AS timestamptz) AS since"
    wanted = f"SELECT {member}.program_id, {member}.member_id, {since}"
    return f"(SELECT json_agg(f) FROM ({_facts(wanted, 'fact_')}) f)"  # noqa: S608  # As above.


def facts_parameters(since: datetime, interest: Interest) -> dict[str, object]:
    activities = sorted(interest.activities)
    return {"fact_since": since, "fact_activities": activities, "fact_points": interest.points}


class _Row(msgspec.Struct, frozen=True):
    """A row in JSON. The columns of orders follow those of credits."""

    program_id: str
    member_id: str
    activity_at: datetime
    id: str | None
    reference: str | None
    merged_at: datetime | None = None
    state: str | None = None
    points: int | None = None
    zone: str | None = None
    activity: str | None = None
    product_id: str | None = None
    detail: str | None = None
    paid: str | None = None
    hold_id: UUID | None = None
    program_version: str | None = None
    delivered_at: datetime | None = None
    cancelled_at: datetime | None = None
    returns: str | None = None


def facts_in(value: Any) -> list[Fact]:
    """Read the value of `facts_sql`."""
    (facts,) = _facts_of(msgspec.convert(value or [], list[_Row])).values() or [[]]
    return facts


async def read_facts(
    conn: AsyncConnection, members: Sequence[FactsQuery], interest: Interest
) -> dict[MemberKey, list[Fact]]:
    """Read the facts of interest, of each member since an instant. Members without one are absent."""
    values = {"activities": sorted(interest.activities), "points": interest.points}
    return _facts_of((await conn.execute(_READ, _MEMBERS.of(members) | values)).all())


def _facts_of(rows: Sequence[Any]) -> dict[MemberKey, list[Fact]]:
    facts: dict[MemberKey, list[Fact]] = {}
    orders: dict[MemberKey, list[tuple[str, OrderFacts]]] = {}
    for row in _newest(rows):
        key = (row.program_id, row.member_id)
        if row.id is None:
            known = facts_of_row(
                (
                    *(row.activity_at, row.paid, row.hold_id, row.program_version, row.zone),
                    *(row.delivered_at, row.cancelled_at, row.returns, None),
                )
            )
            orders.setdefault(key, []).append((row.reference, known))
        elif row.state != "reversed":
            fact = credit_fact(
                at=row.activity_at,
                zone=row.zone,
                activity=row.activity,
                reference=row.reference,
                detail=row.detail,
                points=row.points,
                product_id=row.product_id,
            )
            facts.setdefault(key, []).append(fact)
    for key, of_member in orders.items():
        facts.setdefault(key, []).extend(order_facts(of_member))
    return facts


def _newest(rows: Sequence[Any]) -> Iterable[Any]:
    """The rows without those of credits that have a newer one in another account."""
    if all(row.merged_at is None for row in rows):
        return rows
    found: dict[object, Any] = {}
    for row in rows:
        name = (row.program_id, row.member_id, row.id or row.reference)
        other = found.get(name)
        if other is None or _is_newer(row.merged_at, other.merged_at):
            found[name] = row
    return found.values()


def _is_newer(merged_at: datetime | None, than: datetime | None) -> bool:
    return than is not None and (merged_at is None or merged_at > than)
