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
from engage.domain.keys import OPENING_RULE, RESTORED_RULE, TRANSFER_RULE
from engage.schema.columns import IDENTIFIER, INSTANT, check, member_key, metadata, one_of, optional, required
from engage.schema.member_rows import OF_MEMBERS, Keep, Rewrite, Statement, digest, member_rows
from engage.schema.views import view

# A source key stays unique, so one with an identifier of the shop's becomes a digest of itself. Whether it
# has one follows from what is stored beside it, not from how it looks: a product may be named like a month.
# Keys without one are those of a rule that pays once, of the day of a streak, of a slot of a window, and the
# ledger's own of imports and mergers. Two credits that share a slot have the same key after their rule, and
# go on having it. A boosted credit has the key of its base and that of its boost, before and after.
_BASE_KEY = "left(source_key, length(source_key) - coalesce(length(beside) + 1, 0))"
_INPUTS = "coalesce(why -> 'inputs' -> 'base', why -> 'inputs')"
_ERASED_KEY = f"""CASE
    WHEN {_BASE_KEY} = rule_id OR rule_id IN ('{OPENING_RULE}', '{TRANSFER_RULE}', '{RESTORED_RULE}')
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

# A decision is shared, so an erased credit gets a `why` of its own.
_ERASE = f"""
UPDATE stored_credits c
SET source_key = r.source_key, reference = NULL, why = r.why, program_version = r.program_version,
    decision = NULL
FROM (
    SELECT account, id, program_version, {_ERASED_KEY} AS source_key, {_ERASED_WHY} AS why
    FROM credits WHERE {OF_MEMBERS}
) r
WHERE c.account = r.account AND c.id = r.id
"""  # noqa: S608  # Constants.

# `taken_back` is of a credit that is or was active; a pending one shrinks instead, and so does status. `unit`
# is points, or status, which is in no balance. `boost` names what added a credit beside one of the same rule;
# `beside` is the end of its source key. `campaign` pays it. `of_day` and `of_month` (its first day) are the
# windows in which it holds a slot of its rule's limits. A pending credit without a due time waits for a
# delivery, or with `lapses_at` for a confirmation. `streak_seq` counts the events of a streak in the order in
# which they were accepted: its days, and freezes that the member got, which are credits of no points. Each
# has the streak after it in `why`.
#
# Bytes are what a credit costs, so it names its member by the account, and a decision that many share by its
# number; then `why` and the version are those of the decision. What is null in most rows takes no bytes: null
# is 0 in `taken_back` and `expired`, and points in `unit`.
#
# A credit whose points were activated has a lot, in the same row: `remaining` is what is left of it, and it
# began with the entry `lot_seq`. Its points, and its end, are those of the credit unless `lot_points` (what a
# merger moved) or `lot_ends_at` (a reinstatement) says otherwise.
_LOT_ENDS = "coalesce(lot_ends_at, expires_at)"

stored_credits = Table(
    "stored_credits",
    metadata,
    required("account", BigInteger),
    required("id", Uuid),
    required("points", BigInteger),
    required("activity_at", INSTANT),
    required("accepted_at", INSTANT),
    optional("due_at", INSTANT),
    optional("active_at", INSTANT),
    optional("expires_at", INSTANT),
    optional("remaining", BigInteger),
    optional("lot_seq", Integer),
    optional("decision", Integer),
    optional("streak_seq", SmallInteger),
    required("state", Text),
    required("rule_id", Text),
    required("source_key", IDENTIFIER),
    optional("reference", IDENTIFIER),
    optional("program_version", Text),
    optional("unit", Text),
    optional("boost", Text),
    optional("beside", Text),
    optional("campaign", Text),
    optional("reversed_at", INSTANT),
    optional("lapses_at", INSTANT),
    optional("taken_back", BigInteger),
    optional("expired", BigInteger),
    optional("lot_points", BigInteger),
    optional("lot_ends_at", INSTANT),
    optional("of_day", Date),
    optional("of_month", Date),
    optional("day_slot", SmallInteger),
    optional("month_slot", SmallInteger),
    optional("why", JSONB),
    PrimaryKeyConstraint("account", "id"),
    one_of("credits_state_check", "state", "pending", "active", "reversed"),
    one_of("credits_unit_check", "unit", "status"),
    check(
        "credits_decision_check",
        "(decision IS NULL) = (why IS NOT NULL) AND (decision IS NULL) = (program_version IS NOT NULL)",
    ),
    # Status has no lot, so it shrinks while it is active too.
    check(
        "credits_status_check",
        "unit IS NULL OR (taken_back IS NULL AND beside IS NULL AND remaining IS NULL)",
    ),
    check("credits_boost_check", "(boost IS NULL) = (beside IS NULL)"),
    # A credit of 0 points records a removal that came before its activity, or freezes.
    check("credits_points_check", "points > 0 OR (points = 0 AND state = 'reversed')"),
    check("credits_active_check", "active_at >= due_at AND active_at >= accepted_at"),
    check("credits_activated_check", "state <> 'active' OR active_at IS NOT NULL"),
    check("credits_taken_back_check", "taken_back BETWEEN 1 AND points"),
    check("credits_day_check", "(of_day IS NULL) = (day_slot IS NULL)"),
    check("credits_month_check", "(of_month IS NULL) = (month_slot IS NULL)"),
    check("credits_lot_check", "(remaining IS NULL) = (lot_seq IS NULL)"),
    check(
        "credits_lot_overrides_check",
        "remaining IS NOT NULL OR (expired IS NULL AND lot_points IS NULL AND lot_ends_at IS NULL)",
    ),
    check("credits_lot_points_check", "lot_points > 0"),
    check("credits_remaining_check", "remaining BETWEEN 0 AND coalesce(lot_points, points)"),
    check("credits_expired_check", "expired BETWEEN 1 AND coalesce(lot_points, points) - remaining"),
    # A condition that always holds: a column of a unique index without any is part of the row's key, and an
    # erasure, which changes it, would wait for whoever has locked the credit FOR KEY SHARE.
    Index(
        "credits_source_key",
        *("account", "source_key"),
        unique=True,
        postgresql_where=text("source_key IS NOT NULL"),
    ),
    Index(
        "credits_reference",
        *("account", "reference", "rule_id", "beside"),
        unique=True,
        postgresql_where=text("reference IS NOT NULL"),
        postgresql_nulls_not_distinct=True,
    ),
    Index(
        "credits_day_slot",
        *("account", "of_day", "rule_id", "day_slot"),
        unique=True,
        postgresql_where=text("of_day IS NOT NULL"),
    ),
    Index(
        "credits_month_slot",
        *("account", "of_month", "rule_id", "month_slot"),
        unique=True,
        postgresql_where=text("of_month IS NOT NULL"),
    ),
    Index(
        "credits_streak_seq",
        *("account", "streak_seq", "rule_id"),
        unique=True,
        postgresql_where=text("streak_seq IS NOT NULL"),
    ),
    Index("credits_campaign", "campaign", "account", postgresql_where=text("campaign IS NOT NULL")),
    Index("credits_lapse", "lapses_at", postgresql_where=text(WAITING)),
    Index("credits_waiting", "account", "lapses_at", postgresql_where=text(WAITING)),
    Index("credits_due", "due_at", postgresql_where=text("state = 'pending' AND unit IS NULL")),
    Index("credits_status_due", "due_at", postgresql_where=text("state = 'pending' AND unit IS NOT NULL")),
    Index("credits_expiring", text(f"({_LOT_ENDS})"), postgresql_where=text("remaining > 0")),
    Index("credits_left", "account", postgresql_where=text("remaining > 0")),
    info=member_rows(
        merge=Keep(
            "Credits go on in the survivor's account (engage.ledger.closing.merge); these are history."
        ),
        erase=Statement(_ERASE),
    ),
)

# Credits as they are read: with their members, and what their decision says.
credits = view(
    "credits",
    """
    SELECT b.program_id, b.member_id, c.id, c.source_key, c.reference, c.rule_id,
           coalesce(c.program_version, d.program_version) AS program_version, c.points,
           coalesce(c.unit, 'points') AS unit, c.boost, c.beside, c.campaign, c.state, c.activity_at,
           c.accepted_at, c.due_at, c.active_at, c.expires_at, c.reversed_at,
           coalesce(c.why, d.why || jsonb_build_object(
               'at', to_char(c.activity_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
           )) AS why,
           coalesce(c.taken_back, 0) AS taken_back, c.of_day, c.day_slot, c.of_month, c.month_slot,
           c.lapses_at, c.streak_seq, c.account
    FROM stored_credits c
    LEFT JOIN balances b ON b.account = c.account
    LEFT JOIN decisions d ON d.id = c.decision
    """,
    *member_key(),
    required("id", Uuid),
    required("source_key", IDENTIFIER),
    optional("reference", IDENTIFIER),
    required("rule_id", Text),
    required("program_version", Text),
    required("points", BigInteger),
    required("unit", Text),
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
    required("taken_back", BigInteger),
    optional("of_day", Date),
    optional("day_slot", SmallInteger),
    optional("of_month", Date),
    optional("month_slot", SmallInteger),
    optional("lapses_at", INSTANT),
    optional("streak_seq", SmallInteger),
    required("account", BigInteger),
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
