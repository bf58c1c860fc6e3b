"""Indexes of protection begin with what tells their rows apart, and not with the program."""

from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

AFTER = (
    "DROP INDEX velocity_places_once",
    "CREATE UNIQUE INDEX velocity_places_once"
    " ON velocity_places (source, rule_id, of_window, program_id, member_id, activity)",
    "ALTER TABLE suspicions DROP CONSTRAINT suspicions_once,"
    " ADD CONSTRAINT suspicions_once UNIQUE (source, rule_id, of_window, program_id)",
    "DROP INDEX suspicions_of_program",
    "DROP INDEX suspicions_of_source",
)

BEFORE = (
    "DROP INDEX velocity_places_once",
    "CREATE UNIQUE INDEX velocity_places_once"
    " ON velocity_places (program_id, rule_id, source, of_window, member_id, activity)",
    "ALTER TABLE suspicions DROP CONSTRAINT suspicions_once,"
    " ADD CONSTRAINT suspicions_once UNIQUE (program_id, rule_id, source, of_window)",
    "CREATE INDEX suspicions_of_program ON suspicions (program_id, id)",
    "CREATE INDEX suspicions_of_source ON suspicions (source, program_id)",
)


def upgrade() -> None:
    for statement in AFTER:
        op.execute(statement)


def downgrade() -> None:
    for statement in BEFORE:
        op.execute(statement)
