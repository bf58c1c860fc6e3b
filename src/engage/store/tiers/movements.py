"""The movements that levels follow from, read from the orders and credits of members.

An expression for one member, so the home screen can read them in its statement, and a statement for many.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.direct_sql import DirectStatement
from engage.domain.activity import Order
from engage.domain.earning.order_facts import OrderFacts, OrderPayment, Return
from engage.domain.earning.unit import POINTS, STATUS, Unit
from engage.domain.keys import ADJUSTMENT_RULE, OPENING_RULE, RESTORED_RULE, TRANSFER_RULE, MemberKey
from engage.domain.tiers.definition import Metric
from engage.domain.tiers.movement import Cause, Movement, order_movements

UNITS: dict[Metric, Unit] = {"points_earned": POINTS, "status": STATUS}

Movements = dict[Metric, list[Movement]]


def movements_sql(member: str) -> str:
    """An expression for the movements of a member, as text. `member` is an alias of a row with `program_id`
    and `member_id`.

    `:tier_orders`: with orders. `:tier_units`: with credits in these units. `:tier_from`: what was earned
    from then on, NULL for all. Points of operators and imports
    are not earned. A credit that came from a merged member has one row in each account, under one id: the
    survivor's counts, or where its points were over before the merger, the other's.
    """
    return f"""CASE WHEN CAST(:tier_orders AS bool) OR CAST(:tier_units AS text[]) <> '{{}}' THEN (
    WITH accounts AS MATERIALIZED (
        SELECT {member}.program_id, {member}.member_id
        UNION ALL
        SELECT f.program_id, f.member_id FROM members f
        WHERE f.program_id = {member}.program_id AND f.merged_into = {member}.member_id
    ), earned AS MATERIALIZED (
        SELECT DISTINCT ON (c.id) c.id, c.unit, c.points, c.state, c.activity_at, c.active_at, c.reversed_at,
               c.taken_back,
               CASE WHEN c.rule_id IN ('{TRANSFER_RULE}', '{RESTORED_RULE}')
                   THEN c.why ->> 'rule' ELSE c.rule_id END AS rule
        FROM accounts a JOIN credits c USING (program_id, member_id)
        WHERE c.unit = ANY(CAST(:tier_units AS text[])) AND c.points > 0
          AND (CAST(:tier_from AS timestamptz) IS NULL OR c.activity_at >= CAST(:tier_from AS timestamptz))
        ORDER BY c.id, (c.member_id = {member}.member_id) DESC
    ), shrunk AS (
        SELECT e.id, r.at, r.points
        FROM accounts a JOIN reductions r USING (program_id, member_id) JOIN earned e ON e.id = r.credit_id
    ), moved AS (
        SELECT e.id, e.rule, e.unit, e.activity_at AS at, e.activity_at AS earned_at,
               CAST(e.points + coalesce((SELECT sum(s.points) FROM shrunk s WHERE s.id = e.id), 0) AS bigint)
                   AS delta
        FROM earned e
        UNION ALL
        SELECT e.id, e.rule, e.unit, s.at, e.activity_at, -s.points FROM shrunk s JOIN earned e USING (id)
        UNION ALL
        SELECT e.id, e.rule, e.unit, n.at, e.activity_at, -n.house_delta
        FROM earned e
        JOIN accounts a ON e.taken_back > 0
        JOIN entries n
            ON n.program_id = a.program_id AND n.member_id = a.member_id AND n.credit_id = e.id
           AND n.kind = 'clawback'
        UNION ALL
        SELECT e.id, e.rule, e.unit, e.reversed_at, e.activity_at, -e.points
        FROM earned e WHERE e.state = 'reversed' AND (e.active_at IS NULL OR e.unit = '{STATUS}')
    )
    SELECT CAST(json_build_object(
        'orders', (
            SELECT coalesce(json_agg(json_build_array(
                o.order_id, o.paid_at, o.paid, o.program_version, o.zone, o.cancelled_at, o.returns)), '[]')
            FROM orders o JOIN members m USING (program_id, member_id)
            WHERE CAST(:tier_orders AS bool) AND o.program_id = {member}.program_id
              AND o.member_id = {member}.member_id AND o.paid IS NOT NULL
              AND o.paid_at >= m.joined_at - interval '5 minutes'
              AND (CAST(:tier_from AS timestamptz) IS NULL OR o.paid_at >= CAST(:tier_from AS timestamptz))
        ),
        'credits', (
            SELECT coalesce(json_agg(
                json_build_array(v.id, v.rule, v.unit, v.at, v.earned_at, v.delta)), '[]')
            FROM moved v WHERE v.rule NOT IN ('{ADJUSTMENT_RULE}', '{OPENING_RULE}')
        )
    ) AS text)
) END"""  # noqa: S608  # Made of constants.


_READ = DirectStatement(
    text(f"""
SELECT k.program_id, k.member_id, {movements_sql("k")}
FROM unnest(CAST(:program_ids AS text[]), CAST(:member_ids AS text[])) AS k (program_id, member_id)
""")  # noqa: S608
)


class _Order(Struct, frozen=True, array_like=True):
    id: str
    paid_at: datetime
    paid: Order
    version: str
    zone: str
    cancelled_at: datetime | None
    returns: tuple[Return, ...]

    @property
    def facts(self) -> OrderFacts:
        payment = OrderPayment(self.paid, self.paid_at, None, self.version, self.zone)
        return OrderFacts(paid=payment, cancelled_at=self.cancelled_at, returns=self.returns)


class _Credit(Struct, frozen=True, array_like=True):
    id: str
    rule: str
    unit: Unit
    at: datetime
    earned_at: datetime
    delta: int


class _Facts(Struct, frozen=True):
    orders: list[_Order]
    credits: list[_Credit]


_facts = msgspec.json.Decoder(_Facts)


def parameters(metrics: Collection[Metric], *, earned_from: datetime | None = None) -> dict[str, Any]:
    """The parameters of `movements_sql`."""
    units = [unit for metric, unit in UNITS.items() if metric in metrics]
    return {"tier_orders": "spend_minor" in metrics, "tier_units": units, "tier_from": earned_from}


def movements_of(value: str | None) -> Movements:
    """The movements of the expression's value, by metric."""
    found: Movements = {"spend_minor": [], "points_earned": [], "status": []}
    if value is None:
        return found
    facts = _facts.decode(value)
    for order in facts.orders:
        found["spend_minor"] += order_movements(order.id, order.facts)
    for credit in facts.credits:
        metric: Metric = "points_earned" if credit.unit == POINTS else "status"
        cause = Cause("credit", credit.id, credit.rule)
        found[metric].append(Movement(credit.at, credit.earned_at, credit.delta, cause))
    return found


async def read_movements(
    conn: AsyncConnection,
    members: Sequence[MemberKey],
    metrics: Collection[Metric],
    *,
    earned_from: datetime | None = None,
) -> dict[MemberKey, Movements]:
    """Read what the levels of members follow from, in these metrics: all, or what was earned from a time on
    and what was taken of that.
    """
    values = parameters(metrics, earned_from=earned_from) | {
        "program_ids": [program_id for program_id, _ in members],
        "member_ids": [member_id for _, member_id in members],
    }
    rows = await _READ.fetch(conn, values)
    return {(program_id, member_id): movements_of(value) for program_id, member_id, value in rows}
