"""Operators of the console, and their sessions."""

from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

OPERATORS = """
CREATE TABLE operators (
    id            uuid NOT NULL PRIMARY KEY,
    email         text COLLATE "C" NOT NULL,
    role          text NOT NULL,
    programs      text[],
    password_hash text,
    has_to_change boolean NOT NULL DEFAULT false,
    totp_secret   bytea,
    totp_step     bigint,
    failures      integer NOT NULL DEFAULT 0,
    failed_at     timestamptz,
    created_at    timestamptz NOT NULL,
    disabled_at   timestamptz,
    CONSTRAINT operators_role_check
        CHECK (role IN ('viewer', 'marketer', 'approver', 'support', 'finance', 'admin')),
    CONSTRAINT operators_email_check CHECK (email = lower(email) AND email LIKE '%_@_%'),
    CONSTRAINT operators_failures_check CHECK (failures >= 0)
)
"""

SESSIONS = """
CREATE TABLE operator_sessions (
    token_hash  bytea NOT NULL PRIMARY KEY,
    operator_id uuid NOT NULL REFERENCES operators (id),
    form_token  text NOT NULL,
    created_at  timestamptz NOT NULL,
    seen_at     timestamptz NOT NULL
)
"""

INDEXES = (
    "CREATE UNIQUE INDEX operators_email ON operators (email)",
    "CREATE INDEX operator_sessions_of_operator ON operator_sessions (operator_id)",
    "CREATE INDEX operator_sessions_age ON operator_sessions (seen_at)",
)


def upgrade() -> None:
    for statement in (OPERATORS, SESSIONS, *INDEXES):
        op.execute(statement)


def downgrade() -> None:
    for table in ("operator_sessions", "operators"):
        op.execute(f"DROP TABLE {table}")
