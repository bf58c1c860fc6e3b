"""Campaigns: their versions, and what operators did with them.

A version may be changed until it is approved; then a trigger keeps its document for ever. What is in force
follows from the actions, which are added and never changed.
"""

from sqlalchemy import ARRAY, Boolean, Integer, PrimaryKeyConstraint, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from engage.schema.columns import IDENTIFIER, INSTANT, check, metadata, one_of, optional, required
from engage.schema.triggers import after_creation, append_only, never_emptied

# `revision` counts the changes of a version, for its ETag; `authors` are the names of the operators who made
# them, `author_ids` their ids.
campaign_versions = Table(
    "campaign_versions",
    metadata,
    required("program_id", IDENTIFIER),
    required("campaign_id", IDENTIFIER),
    required("version", Integer),
    required("revision", Integer),
    required("document", JSONB),
    required("authors", ARRAY(Text)),
    required("author_ids", ARRAY(Text)),
    required("approved", Boolean, "false"),
    PrimaryKeyConstraint("program_id", "campaign_id", "version"),
    check("campaign_versions_version_check", "version > 0 AND revision > 0"),
    check("campaign_versions_authors_check", "cardinality(authors) > 0 AND cardinality(author_ids) > 0"),
)
after_creation(
    campaign_versions,
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
    "ALTER TABLE campaign_versions ENABLE ALWAYS TRIGGER campaign_versions_kept",
)
never_emptied(campaign_versions)

# `number` counts the actions of a campaign.
campaign_actions = Table(
    "campaign_actions",
    metadata,
    required("program_id", IDENTIFIER),
    required("campaign_id", IDENTIFIER),
    required("number", Integer),
    required("kind", Text),
    required("version", Integer),
    required("at", INSTANT),
    required("effective_at", INSTANT),
    required("operator", Text),
    optional("reason", Text),
    PrimaryKeyConstraint("program_id", "campaign_id", "number"),
    one_of(
        "campaign_actions_kind_check",
        "kind",
        *("created", "changed", "submitted", "rejected", "approved", "paused", "resumed", "ended"),
    ),
    check("campaign_actions_number_check", "number > 0 AND version > 0"),
    check("campaign_actions_effective_check", "effective_at >= at"),
)
append_only(campaign_actions)
