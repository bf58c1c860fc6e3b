"""Deeds on campaigns stay, also where a table is emptied. Authors are more than a name."""

from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

# Of a version of before, every key with the name of an author is one of them.
AUTHORS = """
UPDATE campaign_versions SET author_ids = authors || coalesce(
    (SELECT array_agg(k.id ORDER BY k.id) FROM api_keys k WHERE k.name = ANY(authors)), '{}')
"""

GUARDS = {"campaign_actions": "UPDATE OR DELETE OR TRUNCATE", "campaign_versions": "TRUNCATE"}


def upgrade() -> None:
    op.execute("ALTER TABLE campaign_versions ADD COLUMN author_ids text[]")
    op.execute("ALTER TABLE campaign_versions DISABLE TRIGGER campaign_versions_kept")
    op.execute(AUTHORS)
    op.execute("ALTER TABLE campaign_versions ENABLE ALWAYS TRIGGER campaign_versions_kept")
    op.execute("ALTER TABLE campaign_versions ALTER COLUMN author_ids SET NOT NULL")
    op.execute("ALTER TABLE campaign_versions DROP CONSTRAINT campaign_versions_authors_check")
    op.execute(
        "ALTER TABLE campaign_versions ADD CONSTRAINT campaign_versions_authors_check"
        " CHECK (cardinality(authors) > 0 AND cardinality(author_ids) > 0)"
    )
    op.execute("DROP TRIGGER campaign_actions_kept ON campaign_actions")
    op.execute("DROP FUNCTION keep_campaign_actions")
    for table, statements in GUARDS.items():
        op.execute(
            f"CREATE TRIGGER {table}_stays BEFORE {statements} ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_stays")


def downgrade() -> None:
    for table in GUARDS:
        op.execute(f"DROP TRIGGER {table}_stays ON {table}")
    op.execute("""
        CREATE FUNCTION keep_campaign_actions() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'actions on campaigns are added and never changed'
                USING ERRCODE = 'integrity_constraint_violation';
        END $$
    """)
    op.execute("""
        CREATE TRIGGER campaign_actions_kept BEFORE UPDATE OR DELETE ON campaign_actions
        FOR EACH ROW EXECUTE FUNCTION keep_campaign_actions()
    """)
    op.execute("ALTER TABLE campaign_versions ENABLE TRIGGER campaign_versions_kept")
    op.execute("ALTER TABLE campaign_versions DROP COLUMN author_ids")
    op.execute(
        "ALTER TABLE campaign_versions ADD CONSTRAINT campaign_versions_authors_check"
        " CHECK (cardinality(authors) > 0)"
    )
