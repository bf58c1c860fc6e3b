"""Places of velocity rules, and credits that are held for review."""

from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

TABLES = (
    """
    CREATE TABLE velocity_places (
        program_id text COLLATE "C" NOT NULL,
        rule_id    text COLLATE "C" NOT NULL,
        source     bytea NOT NULL,
        of_window  text COLLATE "C" NOT NULL,
        number     integer NOT NULL,
        member_id  text COLLATE "C",
        activity   text COLLATE "C" NOT NULL DEFAULT '',
        ends_at    timestamptz NOT NULL,
        PRIMARY KEY (program_id, rule_id, source, of_window, number),
        CONSTRAINT velocity_places_number_check CHECK (number > 0)
    )
    """,
    """
    CREATE TABLE suspicions (
        id         uuid NOT NULL PRIMARY KEY,
        program_id text COLLATE "C" NOT NULL,
        rule_id    text COLLATE "C" NOT NULL,
        source     bytea NOT NULL,
        of_window  text COLLATE "C" NOT NULL,
        per        text NOT NULL,
        counts     text NOT NULL,
        at_most    integer NOT NULL,
        opened_at  timestamptz NOT NULL,
        newest_at  timestamptz NOT NULL,
        CONSTRAINT suspicions_once UNIQUE (program_id, rule_id, source, of_window),
        CONSTRAINT suspicions_per_check CHECK (per IN ('device', 'network')),
        CONSTRAINT suspicions_counts_check CHECK (counts IN ('members', 'activities'))
    )
    """,
    """
    CREATE TABLE suspicion_decisions (
        id                uuid NOT NULL PRIMARY KEY,
        suspicion_id      uuid NOT NULL,
        program_id        text COLLATE "C" NOT NULL,
        kind              text NOT NULL,
        reason            text NOT NULL,
        made_by           text NOT NULL,
        made_by_name      text NOT NULL,
        made_at           timestamptz NOT NULL,
        requested_by      text,
        requested_by_name text,
        undone_by_name    text,
        undone_at         timestamptz,
        undone_reason     text,
        CONSTRAINT suspicion_decisions_kind_check CHECK (kind IN ('requested', 'released', 'rejected')),
        CONSTRAINT suspicion_decisions_four_eyes_check CHECK (requested_by <> made_by),
        CONSTRAINT suspicion_decisions_undone_check CHECK (
            (undone_at IS NULL) = (undone_by_name IS NULL)
            AND (undone_at IS NULL) = (undone_reason IS NULL)
        )
    )
    """,
    """
    CREATE TABLE held_credits (
        program_id   text COLLATE "C" NOT NULL,
        member_id    text COLLATE "C" NOT NULL,
        credit_id    uuid NOT NULL,
        suspicion_id uuid NOT NULL,
        state        text NOT NULL,
        hold_s       integer NOT NULL,
        decision_id  uuid,
        held_due_at  timestamptz,
        taken        bigint,
        PRIMARY KEY (program_id, member_id, credit_id),
        CONSTRAINT held_credits_state_check
            CHECK (state IN (
                'open', 'releasing', 'released', 'rejecting', 'rejected', 'restoring', 'holding'
            )),
        CONSTRAINT held_credits_decision_check CHECK ((state = 'open') = (decision_id IS NULL)),
        CONSTRAINT held_credits_taken_check
            CHECK (taken IS NULL OR state IN ('rejected', 'restoring'))
    )
    """,
)

INDEXES = (
    "CREATE UNIQUE INDEX velocity_places_once"
    " ON velocity_places (program_id, rule_id, source, of_window, member_id, activity)",
    "CREATE INDEX velocity_places_of_member ON velocity_places (member_id, program_id)",
    "CREATE INDEX velocity_places_ends ON velocity_places (ends_at)",
    "CREATE INDEX suspicions_of_program ON suspicions (program_id, id)",
    "CREATE INDEX suspicions_of_source ON suspicions (source, program_id)",
    "CREATE INDEX suspicions_newest ON suspicions (newest_at)",
    "CREATE INDEX suspicion_decisions_of ON suspicion_decisions (suspicion_id, id)",
    "CREATE INDEX held_credits_of_suspicion ON held_credits (suspicion_id, state)",
    "CREATE INDEX held_credits_deciding ON held_credits (suspicion_id)"
    " WHERE state IN ('releasing', 'rejecting', 'restoring', 'holding')",
)


def upgrade() -> None:
    for statement in (*TABLES, *INDEXES):
        op.execute(statement)


def downgrade() -> None:
    for table in ("held_credits", "suspicion_decisions", "suspicions", "velocity_places"):
        op.execute(f"DROP TABLE {table}")
