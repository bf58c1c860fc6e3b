"""A past with SQL: what members did in some weeks, and the campaigns that ran meanwhile."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from engage.bench.setup.constants import COUNTRY
from engage.bench.setup.members import NUMBERS, decision_of, spans, tap_credit
from engage.domain.activity import Line, Order, Payment
from engage.domain.campaigns.definition import Campaign
from engage.domain.earning.credit import NewCredit
from engage.domain.earning.orders import decide_order
from engage.domain.program.program import Program
from engage.ledger.accept import why_json
from engage.runtime.database import transaction
from engage.schema.balances import account_of

# A member's taps and orders, each of a day of its own.
TAPS: Final = 8
ORDERS: Final = 2
LINES: Final = 3
PRODUCTS: Final = 20

# Each at a time of the day that hardly any other member has.
_AT: Final = "CAST(:start AS timestamptz) + make_interval(days => d, secs => (n * 7919 + d * 104729) % 86400)"
_ACCOUNT: Final = account_of(":program_id", "CAST(:prefix AS text) || n")

_TAPS: Final = text(rf"""
INSERT INTO stored_credits (account, id, source_key, rule_id, decision, points, state, activity_at,
                            accepted_at, due_at, active_at)
SELECT {_ACCOUNT}, uuidv7(), 'fuel\:' || (CAST(CAST(:start AS timestamptz) AS date) + d), 'fuel', :decision,
       :points, 'active', {_AT}, {_AT}, {_AT} + interval '5 minutes', {_AT} + interval '5 minutes'
FROM {NUMBERS}, generate_series(0, CAST(:taps AS int) - 1) AS d
""")  # noqa: S608  # Made of constants, as all statements here.

# The products differ, so that a draft may be about some lines of an order.
_ORDERS: Final = text(rf"""
INSERT INTO stored_credits (account, id, source_key, reference, rule_id, program_version, points, state,
                            activity_at, accepted_at, why)
SELECT {_ACCOUNT}, uuidv7(), 'order\:' || n || '-' || d || '\:purchase',
       'order\:' || n || '-' || d, 'purchase', :version, :points, 'pending', {_AT}, {_AT},
       jsonb_set(jsonb_set(CAST(:why AS jsonb), '{{activity,lines,0,product_id}}',
                           to_jsonb('p-' || (n + d) % CAST(:products AS int))),
                 '{{activity,order_id}}', to_jsonb(n || '-' || d))
FROM {NUMBERS}, generate_series(CAST(:taps AS int), :taps + CAST(:orders AS int) - 1) AS d
""")  # noqa: S608

_VERSION: Final = text("""
INSERT INTO campaign_versions (program_id, campaign_id, version, revision, document, authors, author_ids,
                               approved)
VALUES (:program_id, :campaign_id, 1, 1, CAST(:document AS jsonb), '{bench}', '{bench}', true)
""")
_ACTION: Final = text("""
INSERT INTO campaign_actions (program_id, campaign_id, number, kind, version, at, effective_at, operator)
VALUES (:program_id, :campaign_id, 1, 'approved', 1, :at, :at, 'bench')
""")


async def add_activities(
    db: AsyncEngine, program: Program, prefix: str, members: int, *, start: datetime
) -> None:
    """Add TAPS taps and ORDERS orders of each member from `start` on, with a credit each. The balances are
    left as they are.
    """
    tap, order = tap_credit(program, start), _order_credit(program, start)
    decision = await decision_of(db, tap)
    for span in spans(members):
        values = {"program_id": program.id, "prefix": prefix, "start": start}
        async with transaction(db) as conn:
            taps = {"points": tap.points, "decision": decision, "taps": TAPS}
            await conn.execute(_TAPS, values | span | taps)
            orders = {"points": order.points, "why": why_json(order.why), "taps": TAPS, "orders": ORDERS}
            await conn.execute(
                _ORDERS, values | span | orders | {"version": program.version, "products": PRODUCTS}
            )


async def add_campaign(db: AsyncEngine, document: Mapping[str, Any], *, at: datetime) -> None:
    """Add a campaign that was approved at a past time, as nobody could through the API."""
    key = {"program_id": document["program"], "campaign_id": document["id"]}
    whole = msgspec.json.encode(
        msgspec.convert(document, Campaign)
    ).decode()  # As it is stored, with defaults.
    async with transaction(db) as conn:
        await conn.execute(_VERSION, key | {"document": whole})
        await conn.execute(_ACTION, key | {"at": at})


def window_of(start: datetime) -> tuple[datetime, datetime]:
    """A window with all activities."""
    return start, start + timedelta(days=TAPS + ORDERS + 1)


def _order_credit(program: Program, at: datetime) -> NewCredit:
    lines = [
        Line(line_id=str(n), product_id=f"p-{n}", category="phones", paid=19_90 + n) for n in range(LINES)
    ]
    market = program.countries[COUNTRY]
    order = Order(
        order_id="o", channel="web", payment=Payment(method="card"), lines=lines, currency=market.currency
    )
    return decide_order(program.earning, order, at=at, zone=market.zone)[0]
