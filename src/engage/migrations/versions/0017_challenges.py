"""The rewards that steps of challenges have given."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE challenge_gifts (
            program_id   text COLLATE "C" NOT NULL,
            member_id    text COLLATE "C" NOT NULL,
            challenge_id text COLLATE "C" NOT NULL,
            period       text COLLATE "C" NOT NULL,
            step         bigint NOT NULL,
            coupon_id    uuid NOT NULL,
            reached_at   timestamptz NOT NULL,
            zone         text NOT NULL,
            PRIMARY KEY (program_id, member_id, challenge_id, period, step)
        )
    """)


def downgrade() -> None:
    op.execute("DROP TABLE challenge_gifts")
