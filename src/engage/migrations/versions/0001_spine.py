"""Programs, members, the ledger and the outbox."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Identifiers sort and compare by bytes: source keys are read by prefix, and cursors walk them.
PROGRAMS_AND_MEMBERS = """
CREATE TABLE program_versions (
    program_id      text COLLATE "C" NOT NULL,
    version         text COLLATE "C" NOT NULL,
    in_force_from   date NOT NULL,
    document        text NOT NULL,
    published_at    timestamptz NOT NULL,
    PRIMARY KEY (program_id, version)
);

CREATE TABLE members (
    program_id      text COLLATE "C" NOT NULL,
    member_id       text COLLATE "C" NOT NULL,
    country         text NOT NULL,
    kind            text NOT NULL CHECK (kind IN ('person', 'company')),
    birth_date      date,
    person_hash     bytea,
    phone           text,
    referral_code   text,
    joined_at       timestamptz NOT NULL,
    PRIMARY KEY (program_id, member_id),
    UNIQUE (program_id, person_hash)
);

CREATE TABLE card_numbers (
    program_id      text COLLATE "C" NOT NULL,
    card_number     text COLLATE "C" NOT NULL,
    member_id       text COLLATE "C" NOT NULL,
    PRIMARY KEY (program_id, card_number),
    FOREIGN KEY (program_id, member_id) REFERENCES members
);
CREATE INDEX card_numbers_of_member ON card_numbers (program_id, member_id);
"""

# The tables of the ledger do not reference members by foreign key: every tap would lock its member's row.
# `engage audit` looks for credits without a member instead.
LEDGER = """
CREATE TABLE credits (
    program_id      text COLLATE "C" NOT NULL,
    member_id       text COLLATE "C" NOT NULL,
    id              uuid NOT NULL,
    source_key      text COLLATE "C" NOT NULL,
    reference       text COLLATE "C",
    rule_id         text NOT NULL,
    program_version text NOT NULL,
    points          bigint NOT NULL,
    state           text NOT NULL CHECK (state IN ('pending', 'active', 'expired', 'reversed')),
    activity_at     timestamptz NOT NULL,
    accepted_at     timestamptz NOT NULL,
    due_at          timestamptz,
    active_at       timestamptz,
    expires_at      timestamptz,
    reversed_at     timestamptz,
    why             jsonb NOT NULL,
    PRIMARY KEY (program_id, member_id, id),
    -- A credit of 0 points records a removal that came before its activity.
    CHECK (points > 0 OR (points = 0 AND state = 'reversed')),
    CHECK (active_at >= due_at),
    CHECK ((state IN ('active', 'expired')) <= (active_at IS NOT NULL))
);
CREATE UNIQUE INDEX credits_source_key ON credits (program_id, member_id, source_key);
CREATE UNIQUE INDEX credits_reference ON credits (program_id, member_id, reference, rule_id)
    WHERE reference IS NOT NULL;
CREATE INDEX credits_due ON credits (due_at) WHERE state = 'pending';

CREATE TABLE balances (
    program_id      text COLLATE "C" NOT NULL,
    member_id       text COLLATE "C" NOT NULL,
    active          bigint NOT NULL DEFAULT 0 CHECK (active >= 0),
    pending         bigint NOT NULL DEFAULT 0 CHECK (pending >= 0),
    held            bigint NOT NULL DEFAULT 0 CHECK (held >= 0),
    debt            bigint NOT NULL DEFAULT 0 CHECK (debt >= 0),
    version         bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (program_id, member_id)
) WITH (fillfactor = 70);

-- One row an entry. Its legs are the columns that end in _delta: the member's accounts and one account of
-- the house, so an entry that does not balance cannot be stored. A debt is owed by the member, so its leg
-- is the negative of its change.
CREATE TABLE entries (
    program_id      text COLLATE "C" NOT NULL,
    member_id       text COLLATE "C" NOT NULL,
    seq             bigint NOT NULL,
    kind            text NOT NULL,
    at              timestamptz NOT NULL,
    active_delta    bigint NOT NULL DEFAULT 0,
    held_delta      bigint NOT NULL DEFAULT 0,
    debt_delta      bigint NOT NULL DEFAULT 0,
    house_account   text NOT NULL,
    house_delta     bigint NOT NULL DEFAULT 0,
    balance_after   bigint NOT NULL CHECK (balance_after >= 0),
    credit_id       uuid,
    corrects        bigint,
    PRIMARY KEY (program_id, member_id, seq),
    CHECK (active_delta + held_delta - debt_delta + house_delta = 0)
);

CREATE VIEW legs AS
    SELECT program_id, member_id, seq, at, 'member:active' AS account, active_delta AS points
        FROM entries WHERE active_delta <> 0
    UNION ALL
    SELECT program_id, member_id, seq, at, 'member:held', held_delta FROM entries WHERE held_delta <> 0
    UNION ALL
    SELECT program_id, member_id, seq, at, 'member:debt', -debt_delta FROM entries WHERE debt_delta <> 0
    UNION ALL
    SELECT program_id, member_id, seq, at, 'house:' || house_account, house_delta
        FROM entries WHERE house_delta <> 0;

CREATE TABLE lots (
    program_id      text COLLATE "C" NOT NULL,
    member_id       text COLLATE "C" NOT NULL,
    credit_id       uuid NOT NULL,
    entry_seq       bigint NOT NULL,
    points          bigint NOT NULL CHECK (points > 0),
    remaining       bigint NOT NULL CHECK (remaining BETWEEN 0 AND points),
    active_at       timestamptz NOT NULL,
    expires_at      timestamptz,
    PRIMARY KEY (program_id, member_id, credit_id)
) WITH (fillfactor = 90);
"""

REST = """
-- Balance changes that may not have been published yet. A row is written with its change and deleted after
-- publishing; the newest balance is what is published, so publishing twice does no harm.
CREATE TABLE outbox (
    id              uuid PRIMARY KEY,
    created_at      timestamptz NOT NULL,
    cause           text NOT NULL,
    program_ids     text[] NOT NULL,
    member_ids      text[] NOT NULL
);

CREATE TABLE shop_events (
    program_id      text COLLATE "C" NOT NULL,
    event_id        text COLLATE "C" NOT NULL,
    type            text NOT NULL,
    member_id       text COLLATE "C" NOT NULL,
    time            timestamptz NOT NULL,
    received_at     timestamptz NOT NULL,
    PRIMARY KEY (program_id, event_id)
);

CREATE TABLE api_keys (
    id              text PRIMARY KEY,
    name            text NOT NULL,
    secret_hash     bytea NOT NULL,
    scopes          text[] NOT NULL,
    created_at      timestamptz NOT NULL,
    revoked_at      timestamptz
);

-- By wall time: how long a client may repeat a request has nothing to do with the sandbox's clock.
CREATE TABLE idempotency_keys (
    caller          text COLLATE "C" NOT NULL,
    key             text COLLATE "C" NOT NULL,
    fingerprint     bytea NOT NULL,
    created_at      timestamptz NOT NULL,
    status          smallint,
    headers         jsonb,
    body            bytea,
    PRIMARY KEY (caller, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

CREATE TABLE sandbox_clock (
    one             boolean PRIMARY KEY DEFAULT true CHECK (one),
    ahead           interval NOT NULL
);
"""


def upgrade() -> None:
    # asyncpg takes one command at a time.
    for part in (PROGRAMS_AND_MEMBERS, LEDGER, REST):
        for command in filter(str.strip, part.split(";\n")):
            op.execute(command)


def downgrade() -> None:
    op.execute("DROP VIEW legs")
    op.execute("""
        DROP TABLE program_versions, card_numbers, members, credits, balances, entries, lots, outbox,
            shop_events, api_keys, idempotency_keys, sandbox_clock
    """)
