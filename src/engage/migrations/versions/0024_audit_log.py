"""The audit log, whose entries nobody can change."""

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

LOG = """
CREATE TABLE audit_log (
    id         uuid NOT NULL,
    seq        bigint NOT NULL CONSTRAINT audit_log_seq_check CHECK (seq > 0),
    at         timestamptz NOT NULL,
    program_id text COLLATE "C",
    operator   text NOT NULL,
    subject    text COLLATE "C" NOT NULL,
    action     text NOT NULL,
    reason     text,
    before     jsonb,
    after      jsonb,
    digest     bytea NOT NULL,
    PRIMARY KEY (id)
)
"""

HEAD = """
CREATE TABLE audit_log_head (
    one    boolean NOT NULL DEFAULT true CONSTRAINT audit_log_head_one_check CHECK (one),
    seq    bigint NOT NULL,
    digest bytea NOT NULL,
    PRIMARY KEY (one)
)
"""

REFUSE = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'restrict_violation',
        MESSAGE = TG_TABLE_NAME || ' is only added to: ' || TG_OP || ' is refused';
END
$$
"""

TRIGGER = """
CREATE TRIGGER audit_log_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
"""


def upgrade() -> None:
    op.execute(LOG)
    op.execute(HEAD)
    op.execute("CREATE UNIQUE INDEX audit_log_seq ON audit_log (seq)")
    op.execute("CREATE INDEX audit_log_of_subject ON audit_log (subject, seq)")
    op.execute(REFUSE)
    op.execute(TRIGGER)
    op.execute("ALTER TABLE audit_log ENABLE ALWAYS TRIGGER audit_log_stays")


def downgrade() -> None:
    op.execute("DROP TABLE audit_log")
    op.execute("DROP TABLE audit_log_head")
    op.execute("DROP FUNCTION refuse_change()")
