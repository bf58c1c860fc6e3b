"""Backtests: drafts of campaigns on past windows, the parts that workers share, and gains of members."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Double,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from engage.schema.columns import IDENTIFIER, INSTANT, check, member_key, metadata, one_of, optional, required
from engage.schema.member_rows import Keep, member_rows

# Of credits of [from_at, until_at) that were accepted by `created_at`. Members up to `planned_to` are in
# parts, all of them when it is null. `budget` says what the draft's budget left, once it is known;
# `progress` is that of a backtest that has ended, `reason` why it failed. A grant was asked for at
# `granted_at`, and all members have it when `granted_all`.
backtests = Table(
    "backtests",
    metadata,
    required("program_id", IDENTIFIER),
    required("id", Uuid),
    required("campaign_id", IDENTIFIER),
    required("document", JSONB),
    required("from_at", INSTANT),
    required("until_at", INSTANT),
    required("created_at", INSTANT),
    required("operator", Text),
    required("state", Text, "'running'"),
    optional("planned_to", IDENTIFIER),
    optional("budget", JSONB(none_as_null=True)),
    optional("result", JSONB(none_as_null=True)),
    required("progress", Double, "0"),
    optional("reason", Text),
    optional("ended_at", INSTANT),
    optional("granted_at", INSTANT),
    optional("granted_by", Text),
    required("granted_all", Boolean, "false"),
    PrimaryKeyConstraint("program_id", "id"),
    one_of("backtests_state_check", "state", "running", "done", "cancelled", "failed"),
    check("backtests_window_check", "from_at < until_at AND until_at <= created_at"),
    check("backtests_ended_check", "(state = 'running') = (ended_at IS NULL)"),
    check("backtests_result_check", "(state = 'done') = (result IS NOT NULL)"),
    check("backtests_reason_check", "(state = 'failed') = (reason IS NOT NULL)"),
    check(
        "backtests_granted_check",
        "(granted_at IS NULL) = (granted_by IS NULL) AND (state = 'done' OR granted_at IS NULL)",
    ),
    check("backtests_granted_all_check", "granted_at IS NOT NULL OR NOT granted_all"),
    Index(
        "backtests_granting",
        "granted_at",
        postgresql_where=text("granted_at IS NOT NULL AND NOT granted_all"),
    ),
    Index("backtests_running", "created_at", postgresql_where=text("state = 'running'")),
)

# A range of members: those after the first id, up to the second. `outcome` is of a part that is decided, and
# waits for what the budget leaves; `sums` of one that is closed.
backtest_parts = Table(
    "backtest_parts",
    metadata,
    required("program_id", IDENTIFIER),
    required("backtest_id", Uuid),
    required("after_member", IDENTIFIER),
    required("to_member", IDENTIFIER),
    required("members", Integer),
    required("state", Text, "'waiting'"),
    optional("hours", LargeBinary),
    optional("entries", LargeBinary),
    optional("sums", LargeBinary),
    PrimaryKeyConstraint("program_id", "backtest_id", "after_member"),
    one_of("backtest_parts_state_check", "state", "waiting", "decided", "closed"),
    check("backtest_parts_range_check", "after_member < to_member"),
    check("backtest_parts_entries_check", "(state = 'decided') = (entries IS NOT NULL)"),
    check("backtest_parts_sums_check", "(state = 'closed') = (sums IS NOT NULL)"),
    Index("backtest_parts_open", "backtest_id", "state", postgresql_where=text("state <> 'closed'")),
)

# The points that members would have by now, less those that they have. `granted_points` are those that a
# grant gave them, which the campaign's budget may have cut.
backtest_gains = Table(
    "backtest_gains",
    metadata,
    *member_key(),
    required("backtest_id", Uuid),
    required("points", BigInteger),
    optional("granted_points", BigInteger),
    PrimaryKeyConstraint("program_id", "backtest_id", "member_id"),
    check("backtest_gains_points_check", "points > 0"),
    check("backtest_gains_granted_check", "granted_points BETWEEN 0 AND points"),
    Index(
        "backtest_gains_open",
        *("backtest_id", "member_id"),
        postgresql_where=text("granted_points IS NULL"),
    ),
    info=member_rows(
        merge=Keep("What a member would have gained goes to the survivor when it is granted."),
        erase=Keep("A number of a result, and nothing personal. A grant gives erased members nothing."),
    ),
)
