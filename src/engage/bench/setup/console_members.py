"""A population for the console, with SQL: members with cards and phones, their points, orders, withdrawals,
referrals, suspicions, corrections and coupons. One of them has thousands of everything.
"""

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import TextClause, text

from engage.bench.benchmarks.orders import event_of
from engage.bench.setup.constants import COUNTRY, member_id
from engage.bench.setup.members import NUMBERS, OF_MEMBERS, add_members, spans, tap_credit
from engage.domain.program.program import Program
from engage.flows.shop.take_events import take_events
from engage.ledger.accept import why_json
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.schema.balances import account_of

PREFIX: Final = "m-"
BUSY: Final = "busy-"  # The prefix of the one member with very much.
_MODEL: Final = "model-"  # Of the member whose order the others have too.

CREDITS: Final = 2
BUSY_CREDITS: Final = 5_000
BUSY_ORDERS: Final = 2_000
DAYS: Final = 30

# Of so many members one has it.
PER_ORDER: Final = 2
PER_CORRECTION: Final = 200
PER_SUSPICION: Final = 100

_MEMBER: Final = "CAST(:prefix AS text) || n"
_ACCOUNT: Final = account_of(":program_id", _MEMBER)
_BACK: Final = f"make_interval(secs => CAST(n AS bigint) * 7919 % ({DAYS} * 86400))"
_AT: Final = f"CAST(:now AS timestamptz) - interval '1 hour' - {_BACK}"

_PHONES: Final = text(f"""
UPDATE members SET phone = '+34' || (600000000 + CAST(substr(member_id, 3) AS int)) {OF_MEMBERS}
""")  # noqa: S608  # Made of constants, as all statements here.

_CARDS: Final = text(f"""
INSERT INTO card_numbers (program_id, card_number, member_id)
SELECT :program_id, 'card-' || {_MEMBER}, {_MEMBER} FROM {NUMBERS}
""")  # noqa: S608

# Half of the members have a credit of a campaign, and half of these are of the first. One statement, so that
# no plan depends on statistics that there are none of yet.
_CREDITS: Final = text(rf"""
WITH earned AS (
    INSERT INTO stored_credits (account, id, source_key, rule_id, program_version, points, campaign, state,
                                activity_at, accepted_at, due_at, active_at, expires_at, remaining, lot_seq,
                                why)
    SELECT {_ACCOUNT}, uuidv7(), 'fuel\:' || k, 'fuel', :version, :points,
           CASE WHEN k = 2 AND n % 2 = 0
               THEN 'c-' || CASE n % 4 WHEN 0 THEN 0 ELSE n / 4 % CAST(:campaigns AS int) END END,
           'active', {_AT}, {_AT}, {_AT}, {_AT}, {_AT} + interval '1 year', :points, k,
           CAST(:why AS jsonb)
    FROM {NUMBERS}, generate_series(1, CAST(:credits AS int)) AS k
    RETURNING account, id, points, active_at, lot_seq
)
INSERT INTO stored_entries (account, seq, at, active_delta, house_delta, balance_after, credit_id)
SELECT account, lot_seq, active_at, points, -points, lot_seq * points, id FROM earned
""")  # noqa: S608

_BALANCES: Final = text(f"""
UPDATE balances SET active = CAST(:credits AS bigint) * :points, version = :credits {OF_MEMBERS}
""")  # noqa: S608

# The order of the model member, and its credit, under other names and at other times.
_OF_ORDERS: Final = f"""
FROM {NUMBERS}, generate_series(1, CAST(:orders AS int)) AS k, {{table}} t
WHERE t.program_id = :program_id AND t.member_id = '{_MODEL}0' AND n % CAST(:every AS int) = 0
"""
_NAMED: Final = f"replace({{column}}, 'order-{_MODEL}0', 'order-' || n || '-' || k)"
_EARLIER: Final = f"- {_BACK} - make_interval(hours => k)"

_ORDERS: Final = text(
    f"""
INSERT INTO orders (program_id, member_id, order_id, paid_at, paid, program_version, zone, delivered_at,
                    returns)
SELECT t.program_id, {_MEMBER}, {_NAMED.format(column="t.order_id")}, t.paid_at {_EARLIER},
       CAST({_NAMED.format(column="CAST(t.paid AS text)")} AS jsonb), t.program_version, t.zone,
       t.delivered_at, t.returns
{_OF_ORDERS.format(table="orders")}
"""
)
_ORDER_CREDITS: Final = text(
    f"""
INSERT INTO stored_credits (account, id, source_key, reference, rule_id, program_version, points, state,
                            activity_at, accepted_at, due_at, expires_at, why)
SELECT {_ACCOUNT}, uuidv7(), {_NAMED.format(column="t.source_key")},
       {_NAMED.format(column="t.reference")}, t.rule_id, t.program_version, t.points, t.state,
       t.activity_at {_EARLIER}, t.accepted_at {_EARLIER}, t.due_at, t.expires_at, t.why
{_OF_ORDERS.format(table="credits")}
"""
)
_PENDING: Final = text(f"""
UPDATE balances b SET pending = s.points, version = version + 1
FROM (
    SELECT program_id, member_id, sum(points) AS points FROM credits
    {OF_MEMBERS} AND state = 'pending' GROUP BY 1, 2
) s
WHERE b.program_id = s.program_id AND b.member_id = s.member_id
""")  # noqa: S608

_WITHDRAWALS: Final = text(f"""
INSERT INTO withdrawals (program_id, member_id, id, hold_id, state, method, points, amount_minor, currency,
                         provider, provider_id, requested_at, closed_at, difference)
SELECT :program_id, {_MEMBER}, uuidv7(), uuidv7(), s.state, s.method, 100, 100, 'EUR',
       CASE s.method WHEN 'mobile_money' THEN 'sandbox' END, NULL, {_AT},
       CASE s.state WHEN 'settled' THEN {_AT} + interval '1 minute' END,
       CASE WHEN n % 5000 = 0 AND s.method = 'mobile_money' THEN 'failed' END
FROM {NUMBERS} CROSS JOIN LATERAL (
    SELECT CASE n / 50 % 40 WHEN 0 THEN 'requested' WHEN 1 THEN 'unknown' WHEN 2 THEN 'submitted'
           ELSE 'settled' END AS state,
           CASE n / 50 % 40 WHEN 0 THEN 'cash' ELSE 'mobile_money' END AS method
) s
WHERE n % 50 = 0
""")  # noqa: S608

_REFERRALS: Final = text(f"""
INSERT INTO referrals (id, program_id, member_id, advocate_id, program_version, state, claimed_at, flags,
                       decided_at)
SELECT uuidv7(), :program_id, {_MEMBER}, CAST(:prefix AS text) || (n - 1), :version, s.state, {_AT}, s.flags,
       CASE s.state WHEN 'approved' THEN {_AT} END
FROM {NUMBERS} CROSS JOIN LATERAL (
    SELECT CASE n / 10 % 20 WHEN 0 THEN 'flagged' WHEN 1 THEN 'pending' ELSE 'approved' END AS state,
           CASE n / 10 % 20 WHEN 0 THEN ARRAY['phone'] ELSE '{{}}' END AS flags
) s
WHERE n % 10 = 1
""")  # noqa: S608

_CORRECTIONS: Final = text(f"""
INSERT INTO corrections (id, program_id, member_id, points, reason, state, requested_by, requested_by_name,
                         requested_at)
SELECT uuidv7(), :program_id, {_MEMBER}, 10, 'Parcel late',
       CASE WHEN n % 4000 = 0 THEN 'requested' ELSE 'made' END, 'bench', 'bench', {_AT}
FROM {NUMBERS} WHERE n % {PER_CORRECTION} = 0
""")  # noqa: S608

_SUSPICIONS: Final = text(f"""
WITH picked AS MATERIALIZED (
    SELECT n, uuidv7() AS suspicion_id FROM {NUMBERS} WHERE n % {PER_SUSPICION} = 0
), opened AS (
    INSERT INTO suspicions (id, program_id, rule_id, source, of_window, per, counts, at_most, opened_at,
                            newest_at)
    SELECT suspicion_id, :program_id, 'ring', sha256(convert_to({_MEMBER}, 'UTF8')), '2026-11-21', 'device',
           'members', 3, {_AT}, {_AT}
    FROM picked
)
INSERT INTO held_credits (program_id, member_id, credit_id, suspicion_id, state, hold_s)
SELECT :program_id, {_MEMBER}, c.id, suspicion_id, 'open', 259200
FROM picked CROSS JOIN LATERAL (
    SELECT id FROM stored_credits WHERE account = {_ACCOUNT} ORDER BY id LIMIT 1
) c
""")  # noqa: S608

_COUPONS: Final = text(f"""
INSERT INTO coupons (program_id, member_id, id, kind, reward_id, program_version, code, points, value_minor,
                     currency, state, redemption_id, issued_at, expires_at)
SELECT :program_id, {_MEMBER}, uuidv7(), 'coupon', 'coupon_5', :version, 'CODE-' || {_MEMBER} || '-' || k,
       500, 500, 'EUR', 'issued', uuidv7(), {_AT}, {_AT} + interval '1 year'
FROM {NUMBERS}, generate_series(1, CAST(:coupons AS int)) AS k WHERE n % 10 = 0
""")  # noqa: S608

_EARNING: Final = (_CREDITS, _BALANCES, _ORDERS, _ORDER_CREDITS, _PENDING, _COUPONS)
_REST: Final = (_PHONES, _CARDS, _WITHDRAWALS, _REFERRALS, _CORRECTIONS, _SUSPICIONS)


async def add_population(services: Services, program: Program, count: int, *, campaigns: int) -> None:
    """Add members with credits, half of them of campaigns `c-0`, `c-1` and so on, and everything else that
    the pages of the console show of members.
    """
    await _add_model(services, program)
    now, credit = services.clock.now(), tap_credit(program, services.clock.now())
    values: dict[str, Any] = {
        "program_id": program.id,
        "version": program.version,
        "points": credit.points,
        "why": why_json(credit.why),
        "campaigns": campaigns,
        "now": now,
    }
    for prefix, members, own in (
        (PREFIX, count, {"credits": CREDITS, "orders": 1, "every": PER_ORDER, "coupons": 1}),
        (BUSY, 1, {"credits": BUSY_CREDITS, "orders": BUSY_ORDERS, "every": 1, "coupons": BUSY_ORDERS}),
    ):
        await add_members(services.db, program, prefix, members, now=now - timedelta(days=DAYS + 1))
        for span in spans(members):
            statements = _EARNING if prefix == BUSY else _EARNING + _REST
            async with transaction(services.db) as conn:
                for statement in statements:
                    await conn.execute(statement, named(statement, values | own | span | {"prefix": prefix}))


def named(statement: TextClause, values: dict[str, Any]) -> dict[str, Any]:
    """Those of the values that a statement names."""
    return {name: values[name] for name in statement.compile().params}


async def _add_model(services: Services, program: Program) -> None:
    now: datetime = services.clock.now()
    await add_members(services.db, program, _MODEL, 1, now=now - timedelta(days=1))
    currency = program.countries[COUNTRY].currency
    events = [
        event_of(kind, program.id, member_id(_MODEL, 0), now, currency) for kind in ("paid", "delivered")
    ]
    taken = await take_events(services, events)
    assert taken.accepted == len(events), taken
