"""Campaigns: versions, actions, and the credits that they pay."""

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

VERSIONS = """
CREATE TABLE campaign_versions (
    program_id  text COLLATE "C" NOT NULL,
    campaign_id text COLLATE "C" NOT NULL,
    version     integer NOT NULL,
    revision    integer NOT NULL,
    document    jsonb NOT NULL,
    authors     text[] NOT NULL,
    approved    boolean NOT NULL DEFAULT false,
    PRIMARY KEY (program_id, campaign_id, version),
    CONSTRAINT campaign_versions_version_check CHECK (version > 0 AND revision > 0),
    CONSTRAINT campaign_versions_authors_check CHECK (cardinality(authors) > 0)
)
"""

ACTIONS = """
CREATE TABLE campaign_actions (
    program_id   text COLLATE "C" NOT NULL,
    campaign_id  text COLLATE "C" NOT NULL,
    number       integer NOT NULL,
    kind         text NOT NULL,
    version      integer NOT NULL,
    at           timestamptz NOT NULL,
    effective_at timestamptz NOT NULL,
    operator     text NOT NULL,
    reason       text,
    PRIMARY KEY (program_id, campaign_id, number),
    CONSTRAINT campaign_actions_kind_check CHECK (kind IN (
        'created', 'changed', 'submitted', 'rejected', 'approved', 'paused', 'resumed', 'ended')),
    CONSTRAINT campaign_actions_number_check CHECK (number > 0 AND version > 0),
    CONSTRAINT campaign_actions_effective_check CHECK (effective_at >= at)
)
"""

# What was in force stays as it was, whoever asks for another past.
KEPT = (
    """
    CREATE FUNCTION keep_approved_campaigns() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'an approved version of a campaign never changes'
            USING ERRCODE = 'integrity_constraint_violation';
    END $$
    """,
    """
    CREATE TRIGGER campaign_versions_kept BEFORE UPDATE OR DELETE ON campaign_versions
    FOR EACH ROW WHEN (old.approved) EXECUTE FUNCTION keep_approved_campaigns()
    """,
    """
    CREATE FUNCTION keep_campaign_actions() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'actions on campaigns are added and never changed'
            USING ERRCODE = 'integrity_constraint_violation';
    END $$
    """,
    """
    CREATE TRIGGER campaign_actions_kept BEFORE UPDATE OR DELETE ON campaign_actions
    FOR EACH ROW EXECUTE FUNCTION keep_campaign_actions()
    """,
)

CREDITS = (
    "ALTER TABLE credits ADD COLUMN campaign text",
    "CREATE INDEX credits_campaign ON credits (program_id, campaign, activity_at) WHERE campaign IS NOT NULL",
)


def upgrade() -> None:
    for statement in (VERSIONS, ACTIONS, *KEPT, *CREDITS):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP INDEX credits_campaign")
    op.execute("ALTER TABLE credits DROP COLUMN campaign")
    op.execute("DROP TABLE campaign_actions")
    op.execute("DROP TABLE campaign_versions")
    op.execute("DROP FUNCTION keep_approved_campaigns")
    op.execute("DROP FUNCTION keep_campaign_actions")
