"""Members' levels as the last reaction computed them, for what they multiply, for reports and for what falls
due. The fold over orders and credits (`engage.domain.tiers`) says what they are at any instant.

`counted_by` names the group's terms and the zone (`TierGroup.terms`); NULL where the level is not to be
relied on, though nothing has changed since.
"""

from sqlalchemy import BigInteger, Index, Integer, PrimaryKeyConstraint, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from engage.schema.columns import INSTANT, check, member_key, metadata, optional, required
from engage.schema.member_rows import Delete, Statement, member_rows


def _dropped(table: str) -> Statement:
    """The survivor's rows are computed anew from the facts of both."""
    return Statement(f"DELETE FROM {table} WHERE program_id = :program_id AND member_id = :member_id")  # noqa: S608  # Names of tables here.


tiers = Table(
    "tiers",
    metadata,
    *member_key(),
    required("group_id", Text),
    optional("level", Text),
    optional("since", INSTANT),
    required("value", BigInteger),
    optional("keeps_until", INSTANT),
    optional("counted_by", Text),
    PrimaryKeyConstraint("program_id", "member_id", "group_id"),
    Index("tiers_kept_until", "keeps_until", postgresql_where=text("keeps_until IS NOT NULL")),
    info=member_rows(merge=_dropped("tiers"), erase=Delete()),
)

level_changes = Table(
    "level_changes",
    metadata,
    *member_key(),
    required("group_id", Text),
    required("number", Integer),
    required("at", INSTANT),
    optional("before", Text),
    optional("level", Text),
    required("cause", JSONB),
    PrimaryKeyConstraint("program_id", "member_id", "group_id", "number"),
    check("level_changes_number_check", "number > 0"),
    check("level_changes_check", "before IS DISTINCT FROM level"),
    info=member_rows(merge=_dropped("level_changes"), erase=Delete()),
)
