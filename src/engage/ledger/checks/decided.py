"""Credits with what was decided about them: what their decision says, and the rule that granted them."""

from engage.audit import Rows
from engage.domain.earning.trace import TraceCode
from engage.ledger.checks.published_rules import DEFINITIONS, RULES, definitions_as_rows, rules_as_rows

# What the reasons of a credit say, of those that checks ask for.
_FACTS = {
    "order_id": "{why} -> 'activity' ->> 'order_id'",
    "key": "{why} -> 'inputs' ->> 'key'",
    "day": "{why} -> 'inputs' ->> 'day'",
    "streak_days": "CAST({why} -> 'inputs' ->> 'streak_days' AS int)",
    "frozen": "coalesce(CAST({why} -> 'inputs' ->> 'frozen' AS int), 0)",
    "zone": "{why} -> 'inputs' ->> 'zone'",
    "is_held": "coalesce({why} #> '{{inputs,base}}', {why} -> 'inputs') -> 'held' IS NOT NULL",
    "erased": "{why} -> 'trace' -> 0 ->> 0 = '" + TraceCode.ERASED + "'",
}

# Those of a decision that many credits share are read once.
_OF_DECISIONS = ", ".join(f"{fact.format(why='why')} AS {name}" for name, fact in _FACTS.items())
_OF_CREDITS = ", ".join(
    f"CASE WHEN c.decision IS NULL THEN {fact.format(why='c.why')} ELSE d.{name} END AS {name}"
    for name, fact in _FACTS.items()
)

DECIDED = f"""
WITH d AS MATERIALIZED (SELECT id, program_version, {_OF_DECISIONS} FROM decisions)
SELECT c.account, b.program_id, c.id, c.source_key, c.reference, c.rule_id, c.points, c.state, c.beside,
       c.activity_at, c.accepted_at, c.due_at, c.of_day, c.day_slot, c.of_month, c.month_slot,
       c.why IS NOT NULL OR d.id IS NOT NULL AS explained,
       coalesce(c.program_version, d.program_version) AS program_version, {_OF_CREDITS}
FROM stored_credits c
LEFT JOIN d ON d.id = c.decision
LEFT JOIN balances b ON b.account = c.account
"""  # noqa: S608  # Constants, as in all queries here.

# An order that lost its place among the first, and has one again, is paid under this key and a number.
_ORDER_KEY = "('order:' || c.order_id || ':' || c.rule_id)"

# The source key of a credit, built anew of the parts that are stored with it. Null where an erasure has
# removed a part.
_BUILT_KEY = f"""CASE r.slot_type
    WHEN 'once' THEN c.rule_id
    WHEN 'once_per' THEN c.rule_id || ':' || c.key
    WHEN 'daily_streak' THEN c.rule_id || ':' || c.day
    WHEN 'day' THEN c.rule_id || ':' || to_char(c.of_day, 'YYYY-MM-DD') || ':' || c.day_slot
    WHEN 'month' THEN c.rule_id || ':' || to_char(c.of_month, 'YYYY-MM') || ':' || c.month_slot
    WHEN 'order' THEN c.reference || ':' || c.rule_id
    WHEN 'first_orders' THEN {_ORDER_KEY}
        || coalesce(substring(right(c.source_key, -length({_ORDER_KEY})) FROM '^:[0-9]+$'), '')
    WHEN 'transfer' THEN CASE WHEN right(c.source_key, 37) = ':' || c.id THEN c.source_key ELSE '' END
    ELSE CASE WHEN starts_with(c.source_key, r.slot_type || ':') THEN c.source_key ELSE '' END
END"""

# Credits with their rule in the version that decided (`has_rule`), or the definition that pays (`defined`).
RULED = Rows(
    f"""
    SELECT c.*, r.rule_id IS NOT NULL AS has_rule, r.slot_type, r.day_slots, r.month_slots, r.source_rule_id,
           r.promise, {_BUILT_KEY} AS built_key, d.rule_id IS NOT NULL AS defined
    FROM ({DECIDED}) c
    LEFT JOIN ({RULES}) r USING (program_id, program_version, rule_id)
    LEFT JOIN ({DEFINITIONS}) d USING (program_id, rule_id)
    """,  # noqa: S608
    parameters=lambda published: rules_as_rows(published) | definitions_as_rows(published),
)
