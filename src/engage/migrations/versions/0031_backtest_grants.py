"""Grants of backtests: who asked for one, and what each member got."""

from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

UPGRADE = (
    """
    ALTER TABLE backtests
        ADD COLUMN granted_at timestamptz,
        ADD COLUMN granted_by text,
        ADD COLUMN granted_all boolean NOT NULL DEFAULT false,
        ADD CONSTRAINT backtests_granted_check
            CHECK ((granted_at IS NULL) = (granted_by IS NULL) AND (state = 'done' OR granted_at IS NULL)),
        ADD CONSTRAINT backtests_granted_all_check CHECK (granted_at IS NOT NULL OR NOT granted_all)
    """,
    """
    CREATE INDEX backtests_granting ON backtests (granted_at)
    WHERE granted_at IS NOT NULL AND NOT granted_all
    """,
    """
    ALTER TABLE backtest_gains
        ADD COLUMN granted_points bigint,
        ADD CONSTRAINT backtest_gains_granted_check CHECK (granted_points BETWEEN 0 AND points)
    """,
    """
    CREATE INDEX backtest_gains_open ON backtest_gains (backtest_id, member_id)
    WHERE granted_points IS NULL
    """,
)


def upgrade() -> None:
    for statement in UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP INDEX backtest_gains_open")
    op.execute("ALTER TABLE backtest_gains DROP COLUMN granted_points")
    op.execute("DROP INDEX backtests_granting")
    op.execute(
        "ALTER TABLE backtests DROP COLUMN granted_all, DROP COLUMN granted_by, DROP COLUMN granted_at"
    )
