"""Credits, and by how much pending ones shrank."""

import msgspec
from sqlalchemy import (
    BigInteger,
    Date,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from engage.domain.earning.trace import TraceCode, step
from engage.domain.keys import OPENING_RULE, TRANSFER_RULE
from engage.schema.columns import IDENTIFIER, INSTANT, check, member_key, metadata, one_of, optional, required
from engage.schema.member_rows import Keep, Rewrite, digest, member_rows

# A source key stays unique, so one with an identifier of the shop's becomes a digest of itself. Whether it
# has one follows from what is stored beside it, not from how it looks: a product may be named like a month.
# Keys without one are those of a rule that pays once, of the day of a streak, of a slot of a window, and the
# ledger's own of imports and mergers. Two credits that share a slot have the same key after their rule, and
# go on having it. A boosted credit has the key of its base and that of its boost, before and after.
_BASE_KEY = "left(source_key, length(source_key) - coalesce(length(beside) + 1, 0))"
_INPUTS = "coalesce(why -> 'inputs' -> 'base', why -> 'inputs')"
_ERASED_KEY = f"""CASE
    WHEN {_BASE_KEY} = rule_id OR rule_id IN ('{OPENING_RULE}', '{TRANSFER_RULE}')
            OR {_INPUTS} -> 'day' IS NOT NULL OR {_INPUTS} -> 'window' IS NOT NULL
        THEN {_BASE_KEY}
    WHEN why -> 'activity' ->> 'activity' = 'order'
        THEN 'order:' || {digest(f"coalesce(reference, {_BASE_KEY})")} || ':' || rule_id
    WHEN starts_with(source_key, rule_id || ':')
        THEN rule_id || ':' || {digest(f"substr({_BASE_KEY}, length(rule_id) + 1)")}
    ELSE rule_id || ':' || {digest(_BASE_KEY)}
END || coalesce('+' || beside, '')"""

WAITING = "state = 'pending' AND due_at IS NULL AND lapses_at IS NOT NULL"

_ERASED_TRACE = msgspec.json.encode([step(TraceCode.ERASED)]).decode()
_ERASED_WHY = f"""jsonb_build_object(
    'program', program_id, 'version', program_version, 'rule', rule_id, 'at', activity_at,
    'zone', why -> 'zone',
    'inputs', jsonb_strip_nulls(jsonb_build_object(
        'day', why -> 'inputs' -> 'day', 'zone', why -> 'inputs' -> 'zone',
        'streak_days', why -> 'inputs' -> 'streak_days', 'frozen', why -> 'inputs' -> 'frozen',
        'window', why -> 'inputs' -> 'window', 'slot', why -> 'inputs' -> 'slot'
    )),
    'trace', CAST('{_ERASED_TRACE}' AS jsonb)
)"""

# `taken_back` is of a credit that is or was active; a pending one shrinks instead, and so does status. Its
# lot says whether it has expired. `unit` is points, or status, which is in no balance. `boost` names what
# added a credit beside one of the same rule; `beside` is the end of its source key. `campaign` pays it.
# `of_day` and `of_month` (its first day) are the windows in which it holds a slot of its rule's limits. A
# pending credit without a due time waits for a delivery, or with `lapses_at` for a confirmation. `streak_seq`
# counts the events of a streak in the order in which they were accepted: its days, and freezes that the
# member got, which are credits of no points. Each has the streak after it in `why`.
credits = Table(
    "credits",
    metadata,
    *member_key(),
    required("id", Uuid),
    required("source_key", IDENTIFIER),
    optional("reference", IDENTIFIER),
    required("rule_id", Text),
    required("program_version", Text),
    required("points", BigInteger),
    required("unit", Text, "'points'"),
    optional("boost", Text),
    optional("beside", Text),
    optional("campaign", Text),
    required("state", Text),
    required("activity_at", INSTANT),
    required("accepted_at", INSTANT),
    optional("due_at", INSTANT),
    optional("active_at", INSTANT),
    optional("expires_at", INSTANT),
    optional("reversed_at", INSTANT),
    required("why", JSONB),
    required("taken_back", BigInteger, "0"),
    optional("of_day", Date),
    optional("day_slot", SmallInteger),
    optional("of_month", Date),
    optional("month_slot", SmallInteger),
    optional("lapses_at", INSTANT),
    optional("streak_seq", Integer),
    PrimaryKeyConstraint("program_id", "member_id", "id"),
    one_of("credits_state_check", "state", "pending", "active", "reversed"),
    one_of("credits_unit_check", "unit", "points", "status"),
    # Status has no lot, so it shrinks while it is active too.
    check("credits_status_check", "unit = 'points' OR (taken_back = 0 AND beside IS NULL)"),
    check("credits_boost_check", "(boost IS NULL) = (beside IS NULL)"),
    # A credit of 0 points records a removal that came before its activity, or freezes.
    check("credits_check", "points > 0 OR (points = 0 AND state = 'reversed')"),
    check("credits_check1", "active_at >= due_at"),
    check("credits_check2", "(state IN ('active', 'expired')) <= (active_at IS NOT NULL)"),
    check("credits_check3", "taken_back BETWEEN 0 AND points"),
    check("credits_day_check", "(of_day IS NULL) = (day_slot IS NULL)"),
    check("credits_month_check", "(of_month IS NULL) = (month_slot IS NULL)"),
    check("credits_check4", "active_at >= accepted_at"),
    Index("credits_source_key", "program_id", "member_id", "source_key", unique=True),
    Index(
        "credits_reference",
        *("program_id", "member_id", "reference", "rule_id", "beside"),
        unique=True,
        postgresql_where=text("reference IS NOT NULL"),
        postgresql_nulls_not_distinct=True,
    ),
    Index(
        "credits_day_slot",
        *("program_id", "member_id", "of_day", "rule_id", "day_slot"),
        unique=True,
        postgresql_where=text("of_day IS NOT NULL"),
    ),
    Index(
        "credits_month_slot",
        *("program_id", "member_id", "of_month", "rule_id", "month_slot"),
        unique=True,
        postgresql_where=text("of_month IS NOT NULL"),
    ),
    Index(
        "credits_streak_seq",
        *("program_id", "member_id", "rule_id", "streak_seq"),
        unique=True,
        postgresql_where=text("streak_seq IS NOT NULL"),
    ),
    Index(
        "credits_campaign",
        *("program_id", "campaign", "member_id"),
        postgresql_where=text("campaign IS NOT NULL"),
    ),
    Index("credits_lapse", "lapses_at", postgresql_where=text(WAITING)),
    Index("credits_waiting", "program_id", "member_id", "lapses_at", postgresql_where=text(WAITING)),
    Index("credits_due", "due_at", postgresql_where=text("state = 'pending'")),
    Index("credits_status_due", "due_at", postgresql_where=text("state = 'pending' AND unit = 'status'")),
    info=member_rows(
        merge=Keep(
            "Credits go on in the survivor's account (engage.ledger.closing.merge); these are history."
        ),
        erase=Rewrite({"source_key": _ERASED_KEY, "reference": "NULL", "why": _ERASED_WHY}),
    ),
)

# By how much pending credits shrank: what was pending at a past instant is computed from this.
reductions = Table(
    "reductions",
    metadata,
    *member_key(),
    required("credit_id", Uuid),
    required("at", INSTANT),
    required("points", BigInteger),
    required("reference", Text),
    PrimaryKeyConstraint("program_id", "member_id", "credit_id", "reference"),
    check("reductions_points_check", "points > 0"),
    info=member_rows(
        merge=Keep("Reductions belong to the history of their credit."),
        erase=Rewrite({"reference": digest("reference")}),
    ),
)
