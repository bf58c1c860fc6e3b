"""Ages of the numbers that money goes to, what persons have earned once, and the programs of keys."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

NUMBERS = """
CREATE TABLE payee_numbers (
    program_id      text COLLATE "C" NOT NULL,
    member_id       text COLLATE "C" NOT NULL,
    phone           text NOT NULL,
    since           timestamptz,
    PRIMARY KEY (program_id, member_id, phone)
)
"""

# Numbers of withdrawals count from the first one, registered numbers from their last change.
KNOWN_NUMBERS = """
INSERT INTO payee_numbers (program_id, member_id, phone, since)
SELECT program_id, member_id, phone, phone_changed_at FROM members
WHERE phone IS NOT NULL AND closed_at IS NULL
UNION ALL
SELECT w.program_id, w.member_id, w.phone, min(w.requested_at)
FROM withdrawals w JOIN members m USING (program_id, member_id)
WHERE w.phone IS NOT NULL AND w.method = 'mobile_money' AND m.closed_at IS NULL
  AND m.phone IS DISTINCT FROM w.phone
GROUP BY 1, 2, 3
"""

TO_NUMBER = """
CREATE INDEX withdrawals_to_number ON withdrawals (phone, program_id, requested_at) WHERE phone IS NOT NULL
"""

PERSONS = """
CREATE TABLE person_slots (
    program_id      text COLLATE "C" NOT NULL,
    person_hash     bytea NOT NULL,
    source_key      text COLLATE "C" NOT NULL,
    rule_id         text NOT NULL,
    program_version text NOT NULL,
    PRIMARY KEY (person_hash, program_id, source_key)
)
"""

# Keys that exist open what they opened: every program. `engage keys bind` narrows them.
KEYS = "ALTER TABLE api_keys ADD COLUMN programs text[]"


def upgrade() -> None:
    for statement in (NUMBERS, KNOWN_NUMBERS, TO_NUMBER, PERSONS, KEYS):
        op.execute(statement)


def downgrade() -> None:
    op.execute("ALTER TABLE api_keys DROP COLUMN programs")
    op.execute("DROP TABLE person_slots")
    op.execute("DROP INDEX withdrawals_to_number")
    op.execute("DROP TABLE payee_numbers")
