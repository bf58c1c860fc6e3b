"""Protection against farming: the places of velocity rules, and credits that are held for review."""

from sqlalchemy import (
    BigInteger,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)

from engage.schema.columns import IDENTIFIER, INSTANT, check, member_key, metadata, one_of, optional, required
from engage.schema.member_rows import Delete, Move, Rewrite, Statement, member_rows

# A place is used up: what two accounts have taken stays taken when they are one.
_MERGE_PLACES = """
UPDATE velocity_places p SET member_id = :into
WHERE p.program_id = :program_id AND p.member_id = :member_id AND NOT EXISTS (
    SELECT FROM velocity_places o
    WHERE (o.program_id, o.rule_id, o.source, o.of_window, o.activity)
        = (p.program_id, p.rule_id, p.source, p.of_window, p.activity) AND o.member_id = :into
)
"""

# A member, or one `activity` of a member, has a place on a device or network (`source`, a keyed hash) in a
# window of a velocity rule. There are as many numbers as the rule has places.
velocity_places = Table(
    "velocity_places",
    metadata,
    required("program_id", IDENTIFIER),
    required("rule_id", IDENTIFIER),
    required("source", LargeBinary),
    required("of_window", IDENTIFIER),
    required("number", Integer),
    optional("member_id", IDENTIFIER),
    required("activity", IDENTIFIER, "''"),
    required("ends_at", INSTANT),
    PrimaryKeyConstraint("program_id", "rule_id", "source", "of_window", "number"),
    check("velocity_places_number_check", "number > 0"),
    Index(
        "velocity_places_once",
        *("source", "rule_id", "of_window", "program_id", "member_id", "activity"),
        unique=True,
    ),
    Index("velocity_places_of_member", "member_id", "program_id"),
    Index("velocity_places_ends", "ends_at"),
    # The place of an erased member stays taken, by nobody.
    info=member_rows(
        merge=Statement(_MERGE_PLACES),
        erase=Rewrite({"member_id": "NULL", "activity": "''"}),
    ),
)

# What is suspicious by a velocity rule on one device or network in one window: operators decide about all of
# it together. The terms are those of the version that found it first.
suspicions = Table(
    "suspicions",
    metadata,
    required("id", Uuid),
    required("program_id", IDENTIFIER),
    required("rule_id", IDENTIFIER),
    required("source", LargeBinary),
    required("of_window", IDENTIFIER),
    required("per", Text),
    required("counts", Text),
    required("at_most", Integer),
    required("opened_at", INSTANT),
    required("newest_at", INSTANT),
    PrimaryKeyConstraint("id"),
    UniqueConstraint(
        *("source", "rule_id", "of_window", "program_id"),
        name="suspicions_once",
    ),
    one_of("suspicions_per_check", "per", "device", "network"),
    one_of("suspicions_counts_check", "counts", "members", "activities"),
    Index("suspicions_newest", "newest_at"),
)

# Decisions about suspicions. A rejection of many points is `requested` first, of a second operator. One that
# was taken back has `undone_at`.
suspicion_decisions = Table(
    "suspicion_decisions",
    metadata,
    required("id", Uuid),
    required("suspicion_id", Uuid),
    required("program_id", IDENTIFIER),
    required("kind", Text),
    required("reason", Text),
    required("made_by", Text),
    required("made_by_name", Text),
    required("made_at", INSTANT),
    optional("requested_by", Text),
    optional("requested_by_name", Text),
    optional("undone_by_name", Text),
    optional("undone_at", INSTANT),
    optional("undone_reason", Text),
    PrimaryKeyConstraint("id"),
    one_of("suspicion_decisions_kind_check", "kind", "requested", "released", "rejected"),
    check("suspicion_decisions_four_eyes_check", "requested_by <> made_by"),
    check(
        "suspicion_decisions_undone_check",
        "(undone_at IS NULL) = (undone_by_name IS NULL) AND (undone_at IS NULL) = (undone_reason IS NULL)",
    ),
    Index("suspicion_decisions_of", "suspicion_id", "id"),
)

DECIDING = "state IN ('releasing', 'rejecting', 'restoring', 'holding')"

# Credits that are held. What is decided and not done yet is `releasing` or `rejecting`, or where a decision
# was taken back `holding` or `restoring`. `held_due_at` is the due time before a release, `taken` the points
# that a rejection has taken. A credit that was restored goes on here under its new id.
held_credits = Table(
    "held_credits",
    metadata,
    *member_key(),
    required("credit_id", Uuid),
    required("suspicion_id", Uuid),
    required("state", Text),
    required("hold_s", Integer),
    optional("decision_id", Uuid),
    optional("held_due_at", INSTANT),
    optional("taken", BigInteger),
    PrimaryKeyConstraint("program_id", "member_id", "credit_id"),
    one_of(
        "held_credits_state_check",
        "state",
        *("open", "releasing", "released", "rejecting", "rejected", "restoring", "holding"),
    ),
    check("held_credits_decision_check", "(state = 'open') = (decision_id IS NULL)"),
    check("held_credits_taken_check", "taken IS NULL OR state IN ('rejected', 'restoring')"),
    Index("held_credits_of_suspicion", "suspicion_id", "state"),
    Index("held_credits_deciding", "suspicion_id", postgresql_where=text(DECIDING)),
    info=member_rows(merge=Move(), erase=Delete()),
)
