"""Orders, holds, rewards and withdrawals, and what they do to lots."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MEMBERS = """
-- Who was merged into another member, and who was erased, stays as the owner of their entries.
ALTER TABLE members ADD COLUMN merged_into text COLLATE "C";
ALTER TABLE members ADD COLUMN erased_at timestamptz;
ALTER TABLE members ADD COLUMN phone_changed_at timestamptz;
-- When a member was merged or erased, by the machine's clock: other processes look for what is new.
ALTER TABLE members ADD COLUMN closed_at timestamptz;
CREATE INDEX members_closed ON members (closed_at) WHERE closed_at IS NOT NULL;
CREATE INDEX members_merged ON members (program_id, merged_into) WHERE merged_into IS NOT NULL;

-- An index that begins with the program looks as good as the primary key while a table is small, and a plan
-- that was made then walks over the whole program for each of a thousand rows later. So these do not.
CREATE INDEX shop_events_of_member ON shop_events (member_id, program_id);
DROP INDEX card_numbers_of_member;
CREATE INDEX card_numbers_of_member ON card_numbers (member_id, program_id);
ALTER TABLE members DROP CONSTRAINT members_program_id_person_hash_key;
ALTER TABLE members ADD CONSTRAINT members_person UNIQUE (person_hash, program_id);
"""

LEDGER = """
-- The account of a member who was merged or erased is empty and takes no points: a process that does not know
-- yet learns it from this constraint.
ALTER TABLE balances ADD COLUMN closed boolean NOT NULL DEFAULT false;
ALTER TABLE balances ADD CONSTRAINT balances_closed_check
    CHECK (NOT closed OR active + pending + held + debt = 0);

-- Its lot says whether a credit has expired.
ALTER TABLE credits DROP CONSTRAINT credits_state_check;
ALTER TABLE credits ADD CONSTRAINT credits_state_check CHECK (state IN ('pending', 'active', 'reversed'));
-- Of a credit that is or was active: what was taken back of its points. One that is pending shrinks instead.
ALTER TABLE credits ADD COLUMN taken_back bigint NOT NULL DEFAULT 0 CHECK (taken_back BETWEEN 0 AND points);

-- By how much pending credits shrank: what was pending at a past instant is computed from this.
CREATE TABLE reductions (
    program_id      text COLLATE "C" NOT NULL,
    member_id       text COLLATE "C" NOT NULL,
    credit_id       uuid NOT NULL,
    at              timestamptz NOT NULL,
    points          bigint NOT NULL CHECK (points > 0),
    reference       text NOT NULL,
    PRIMARY KEY (program_id, member_id, credit_id, reference)
);

ALTER TABLE lots ADD COLUMN expired bigint NOT NULL DEFAULT 0;
ALTER TABLE lots ADD CONSTRAINT lots_expired_check CHECK (expired BETWEEN 0 AND points - remaining);
CREATE INDEX lots_expiring ON lots (expires_at) WHERE remaining > 0;

-- Between the accounts of one member no house account moves.
ALTER TABLE entries ALTER COLUMN house_account DROP NOT NULL;
ALTER TABLE entries ADD CONSTRAINT entries_house_check CHECK ((house_account IS NULL) = (house_delta = 0));
ALTER TABLE entries ADD COLUMN hold_id uuid;
ALTER TABLE entries ADD COLUMN reference text;
CREATE INDEX entries_of_hold ON entries (program_id, member_id, hold_id) WHERE hold_id IS NOT NULL;

-- Which lots an entry moved. An entry that names a credit and is no clawback moved the lot of that credit.
-- `expires_at` is set where the entry gave the lot a new end, for reports of past instants.
CREATE TABLE lot_moves (
    program_id      text COLLATE "C" NOT NULL,
    member_id       text COLLATE "C" NOT NULL,
    entry_seq       bigint NOT NULL,
    credit_id       uuid NOT NULL,
    at              timestamptz NOT NULL,
    active_delta    bigint NOT NULL DEFAULT 0,
    held_delta      bigint NOT NULL DEFAULT 0,
    expires_at      timestamptz,
    PRIMARY KEY (program_id, member_id, entry_seq, credit_id)
);

-- Every movement of every lot.
CREATE VIEW lot_movements AS
    SELECT program_id, member_id, credit_id, seq AS entry_seq, at, active_delta,
           CAST(0 AS bigint) AS held_delta
        FROM entries WHERE credit_id IS NOT NULL AND kind <> 'clawback'
    UNION ALL
    SELECT program_id, member_id, credit_id, entry_seq, at, active_delta, held_delta FROM lot_moves;
"""

ADJUSTMENTS = """
-- Corrections by operators, each once by its reference; `operator` is the id of their key.
CREATE TABLE adjustments (
    program_id      text COLLATE "C" NOT NULL,
    member_id       text COLLATE "C" NOT NULL,
    reference       text COLLATE "C" NOT NULL,
    points          bigint NOT NULL CHECK (points <> 0),
    reason          text NOT NULL,
    operator        text NOT NULL,
    at              timestamptz NOT NULL,
    entry_seq       bigint NOT NULL,
    PRIMARY KEY (program_id, member_id, reference)
);

-- Who merged or erased a member, and why: once each.
CREATE TABLE closings (
    program_id      text COLLATE "C" NOT NULL,
    member_id       text COLLATE "C" NOT NULL,
    what            text NOT NULL CHECK (what IN ('merged', 'erased')),
    merged_into     text COLLATE "C",
    reason          text,
    operator        text NOT NULL,
    at              timestamptz NOT NULL,
    PRIMARY KEY (program_id, member_id, what)
);
CREATE INDEX closings_into ON closings (program_id, merged_into) WHERE merged_into IS NOT NULL;
"""

ORDERS = """
-- The facts of an order, whichever event came first: the payment as it was sent, the rules that decide, and
-- what was returned.
CREATE TABLE orders (
    program_id      text COLLATE "C" NOT NULL,
    member_id       text COLLATE "C" NOT NULL,
    order_id        text COLLATE "C" NOT NULL,
    paid_at         timestamptz,
    paid            jsonb,
    hold_id         uuid,
    program_version text,
    zone            text,
    delivered_at    timestamptz,
    cancelled_at    timestamptz,
    returns         jsonb NOT NULL DEFAULT '[]',
    CHECK ((paid IS NULL) = (paid_at IS NULL OR program_version IS NULL OR zone IS NULL)),
    PRIMARY KEY (program_id, member_id, order_id)
);

-- Points set aside. The moves of a hold's entries say which lots its points are from.
CREATE TABLE holds (
    program_id      text COLLATE "C" NOT NULL,
    member_id       text COLLATE "C" NOT NULL,
    id              uuid NOT NULL,
    purpose         text NOT NULL CHECK (purpose IN ('checkout', 'redemption', 'withdrawal')),
    state           text NOT NULL CHECK (state IN ('open', 'captured', 'released', 'expired')),
    points          bigint NOT NULL CHECK (points >= 0),
    order_id        text COLLATE "C",
    discount_minor  bigint NOT NULL DEFAULT 0 CHECK (discount_minor >= 0),
    currency        text,
    request         jsonb,
    -- Of what was captured, what went back to the member.
    reinstated      bigint NOT NULL DEFAULT 0 CHECK (reinstated BETWEEN 0 AND points),
    created_at      timestamptz NOT NULL,
    expires_at      timestamptz,
    closed_at       timestamptz,
    PRIMARY KEY (program_id, member_id, id)
) WITH (fillfactor = 90);
CREATE INDEX holds_by_id ON holds (id);
CREATE INDEX holds_of_order ON holds (program_id, member_id, order_id) WHERE order_id IS NOT NULL;
CREATE INDEX holds_open ON holds (expires_at) WHERE state = 'open';
"""

REWARDS = """
-- What rewards gave: coupons, and codes that give the right to buy.
CREATE TABLE coupons (
    program_id      text COLLATE "C" NOT NULL,
    member_id       text COLLATE "C" NOT NULL,
    id              uuid NOT NULL,
    kind            text NOT NULL CHECK (kind IN ('coupon', 'f_code')),
    reward_id       text NOT NULL,
    program_version text NOT NULL,
    code            text COLLATE "C" NOT NULL,
    points          bigint NOT NULL,
    value_minor     bigint,
    currency        text,
    product_id      text,
    state           text NOT NULL CHECK (state IN ('issued', 'applied', 'used', 'void', 'expired')),
    -- The redemption that it was issued for; the checkout that it is applied at.
    redemption_id   uuid NOT NULL,
    hold_id         uuid,
    order_id        text,
    issued_at       timestamptz NOT NULL,
    expires_at      timestamptz,
    closed_at       timestamptz,
    PRIMARY KEY (program_id, member_id, id)
) WITH (fillfactor = 90);
CREATE UNIQUE INDEX coupons_code ON coupons (code, program_id);
CREATE INDEX coupons_ending ON coupons (expires_at) WHERE state = 'issued';
CREATE INDEX coupons_of_hold ON coupons (program_id, member_id, hold_id) WHERE hold_id IS NOT NULL;

-- How many of a limited reward were given.
CREATE TABLE reward_stock (
    program_id      text COLLATE "C" NOT NULL,
    reward_id       text COLLATE "C" NOT NULL,
    issued          bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (program_id, reward_id)
);

-- Points taken out as money. The provider knows it by `id`, which is stored before the provider is called.
CREATE TABLE withdrawals (
    program_id      text COLLATE "C" NOT NULL,
    member_id       text COLLATE "C" NOT NULL,
    id              uuid NOT NULL,
    hold_id         uuid NOT NULL,
    state           text NOT NULL
        CHECK (state IN ('requested', 'submitted', 'unknown', 'settled', 'failed')),
    method          text NOT NULL,
    points          bigint NOT NULL CHECK (points > 0),
    amount_minor    bigint NOT NULL,
    currency        text NOT NULL,
    phone           text,
    provider        text,
    provider_id     text,
    failure         text,
    requested_at    timestamptz NOT NULL,
    submitted_at    timestamptz,
    -- When the provider first said that it has it.
    accepted_at     timestamptz,
    -- When to send it, or to ask the provider next; null for a counter's payout.
    ask_at          timestamptz,
    asked           int NOT NULL DEFAULT 0,
    closed_at       timestamptz,
    -- When it was last reconciled, and what was different then.
    compared_at     timestamptz,
    difference      text,
    PRIMARY KEY (program_id, member_id, id)
);
CREATE INDEX withdrawals_by_id ON withdrawals (id);
CREATE INDEX withdrawals_open ON withdrawals (ask_at) WHERE state IN ('requested', 'submitted', 'unknown');
CREATE INDEX withdrawals_uncompared ON withdrawals (closed_at)
    WHERE provider IS NOT NULL AND (compared_at IS NULL OR difference IS NOT NULL OR failure = 'never_heard');
"""


def upgrade() -> None:
    # asyncpg takes one command at a time.
    for part in (MEMBERS, LEDGER, ADJUSTMENTS, ORDERS, REWARDS):
        for command in filter(str.strip, part.split(";\n")):
            op.execute(command)


def downgrade() -> None:
    op.execute("DROP TABLE withdrawals, reward_stock, coupons, holds, orders, adjustments, closings")
    op.execute("DROP VIEW lot_movements")
    op.execute("DROP TABLE lot_moves, reductions")
    op.execute("DROP INDEX entries_of_hold, lots_expiring")
    op.execute("ALTER TABLE entries DROP COLUMN hold_id, DROP COLUMN reference")
    op.execute("ALTER TABLE entries DROP CONSTRAINT entries_house_check")
    op.execute("ALTER TABLE entries ALTER COLUMN house_account SET NOT NULL")
    op.execute("ALTER TABLE lots DROP COLUMN expired")
    op.execute("ALTER TABLE credits DROP COLUMN taken_back")
    op.execute("ALTER TABLE credits DROP CONSTRAINT credits_state_check")
    op.execute(
        "ALTER TABLE credits ADD CONSTRAINT credits_state_check"
        " CHECK (state IN ('pending', 'active', 'expired', 'reversed'))"
    )
    op.execute("ALTER TABLE balances DROP COLUMN closed")
    op.execute("ALTER TABLE members DROP CONSTRAINT members_person")
    op.execute("ALTER TABLE members ADD UNIQUE (program_id, person_hash)")
    op.execute("DROP INDEX card_numbers_of_member")
    op.execute("CREATE INDEX card_numbers_of_member ON card_numbers (program_id, member_id)")
    op.execute("DROP INDEX shop_events_of_member")
    op.execute(
        "ALTER TABLE members DROP COLUMN merged_into, DROP COLUMN erased_at, DROP COLUMN phone_changed_at,"
        " DROP COLUMN closed_at"
    )
