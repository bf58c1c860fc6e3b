"""Credits, and by how much pending ones shrank."""

import msgspec
from sqlalchemy import BigInteger, Index, PrimaryKeyConstraint, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from engage.domain.earning.trace import TraceCode, step
from engage.schema.columns import IDENTIFIER, INSTANT, check, member_key, metadata, one_of, optional, required
from engage.schema.member_rows import Keep, Rewrite, digest, member_rows

# Keys of nothing but a rule, a day, and a slot of a window.
_WITHOUT_IDS = "^[a-z][a-z0-9_]*(:[0-9]{4}-[0-9]{2}(-[0-9]{2})?(:[0-9]{1,9})?)?$"

# A source key stays unique, so it becomes a digest of itself. Two credits that share a slot have the same key
# after their rule, and go on having it.
_ERASED_KEY = f"""CASE
    WHEN source_key ~ '{_WITHOUT_IDS}' OR source_key LIKE 'transfer:%' OR source_key LIKE 'opening:%'
        THEN source_key
    WHEN source_key LIKE 'order:%'
        THEN 'order:' || {digest("coalesce(reference, source_key)")} || ':' || rule_id
    ELSE split_part(source_key, ':', 1) || ':' || {digest("substr(source_key, position(':' IN source_key))")}
END"""

_ERASED_TRACE = msgspec.json.encode([step(TraceCode.ERASED)]).decode()
_ERASED_WHY = f"""jsonb_build_object(
    'program', program_id, 'version', program_version, 'rule', rule_id, 'at', activity_at,
    'zone', why -> 'zone',
    'inputs', jsonb_strip_nulls(jsonb_build_object(
        'day', why -> 'inputs' -> 'day', 'zone', why -> 'inputs' -> 'zone',
        'streak_days', why -> 'inputs' -> 'streak_days'
    )),
    'trace', CAST('{_ERASED_TRACE}' AS jsonb)
)"""

# `taken_back` is of a credit that is or was active; a pending one shrinks instead. Its lot says whether a
# credit has expired.
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
    required("state", Text),
    required("activity_at", INSTANT),
    required("accepted_at", INSTANT),
    optional("due_at", INSTANT),
    optional("active_at", INSTANT),
    optional("expires_at", INSTANT),
    optional("reversed_at", INSTANT),
    required("why", JSONB),
    required("taken_back", BigInteger, "0"),
    PrimaryKeyConstraint("program_id", "member_id", "id"),
    one_of("credits_state_check", "state", "pending", "active", "reversed"),
    # A credit of 0 points records a removal that came before its activity.
    check("credits_check", "points > 0 OR (points = 0 AND state = 'reversed')"),
    check("credits_check1", "active_at >= due_at"),
    check("credits_check2", "(state IN ('active', 'expired')) <= (active_at IS NOT NULL)"),
    check("credits_check3", "taken_back BETWEEN 0 AND points"),
    Index("credits_source_key", "program_id", "member_id", "source_key", unique=True),
    Index(
        "credits_reference",
        *("program_id", "member_id", "reference", "rule_id"),
        unique=True,
        postgresql_where=text("reference IS NOT NULL"),
    ),
    Index("credits_due", "due_at", postgresql_where=text("state = 'pending'")),
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
