"""Credits and entries name their member by an account, credits share decisions, and lots are columns of their
credits. What was read before is read from views.

The members' rows are copied in the order in which they were written. A row that would be lost fails the
migration.
"""

from collections.abc import Iterable, Mapping

from alembic import op
from sqlalchemy import text

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

DECISIONS = """
CREATE TABLE decisions (
    id              integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest          bytea NOT NULL,
    program_version text NOT NULL,
    why             jsonb NOT NULL
)
"""

STORED_CREDITS = """
CREATE TABLE stored_credits (
    account         bigint NOT NULL,
    id              uuid NOT NULL,
    points          bigint NOT NULL,
    activity_at     timestamptz NOT NULL,
    accepted_at     timestamptz NOT NULL,
    due_at          timestamptz,
    active_at       timestamptz,
    expires_at      timestamptz,
    remaining       bigint,
    lot_seq         integer,
    decision        integer,
    streak_seq      smallint,
    state           text NOT NULL,
    rule_id         text NOT NULL,
    source_key      text COLLATE "C" NOT NULL,
    reference       text COLLATE "C",
    program_version text,
    unit            text,
    boost           text,
    beside          text,
    campaign        text,
    reversed_at     timestamptz,
    lapses_at       timestamptz,
    taken_back      bigint,
    expired         bigint,
    lot_points      bigint,
    lot_ends_at     timestamptz,
    of_day          date,
    of_month        date,
    day_slot        smallint,
    month_slot      smallint,
    why             jsonb,
    CONSTRAINT credits_state_check CHECK (state IN ('pending', 'active', 'reversed')),
    CONSTRAINT credits_unit_check CHECK (unit IN ('status')),
    CONSTRAINT credits_decision_check CHECK (
        (decision IS NULL) = (why IS NOT NULL) AND (decision IS NULL) = (program_version IS NOT NULL)
    ),
    CONSTRAINT credits_status_check CHECK (
        unit IS NULL OR (taken_back IS NULL AND beside IS NULL AND remaining IS NULL)
    ),
    CONSTRAINT credits_boost_check CHECK ((boost IS NULL) = (beside IS NULL)),
    CONSTRAINT credits_points_check CHECK (points > 0 OR (points = 0 AND state = 'reversed')),
    CONSTRAINT credits_active_check CHECK (active_at >= due_at AND active_at >= accepted_at),
    CONSTRAINT credits_activated_check CHECK (state <> 'active' OR active_at IS NOT NULL),
    CONSTRAINT credits_taken_back_check CHECK (taken_back BETWEEN 1 AND points),
    CONSTRAINT credits_day_check CHECK ((of_day IS NULL) = (day_slot IS NULL)),
    CONSTRAINT credits_month_check CHECK ((of_month IS NULL) = (month_slot IS NULL)),
    CONSTRAINT credits_lot_check CHECK ((remaining IS NULL) = (lot_seq IS NULL)),
    CONSTRAINT credits_lot_overrides_check CHECK (
        remaining IS NOT NULL OR (expired IS NULL AND lot_points IS NULL AND lot_ends_at IS NULL)
    ),
    CONSTRAINT credits_lot_points_check CHECK (lot_points > 0),
    CONSTRAINT credits_remaining_check CHECK (remaining BETWEEN 0 AND coalesce(lot_points, points)),
    CONSTRAINT credits_expired_check CHECK (expired BETWEEN 1 AND coalesce(lot_points, points) - remaining)
)
"""

STORED_ENTRIES = """
CREATE TABLE stored_entries (
    account       bigint NOT NULL,
    at            timestamptz NOT NULL,
    active_delta  bigint NOT NULL,
    house_delta   bigint NOT NULL DEFAULT 0,
    balance_after bigint NOT NULL,
    seq           integer NOT NULL,
    kind          text,
    house_account text,
    credit_id     uuid,
    held_delta    bigint,
    debt_delta    bigint,
    corrects      integer,
    hold_id       uuid,
    reference     text,
    CONSTRAINT entries_balance_after_check CHECK (balance_after >= 0),
    CONSTRAINT entries_check
        CHECK (active_delta + coalesce(held_delta, 0) - coalesce(debt_delta, 0) + house_delta = 0),
    CONSTRAINT entries_house_check CHECK (house_account IS NULL OR house_delta <> 0)
)
"""

WAITING = "state = 'pending' AND due_at IS NULL AND lapses_at IS NOT NULL"

INDEXES = (
    "ALTER TABLE stored_credits ADD PRIMARY KEY (account, id)",
    "CREATE UNIQUE INDEX credits_source_key ON stored_credits (account, source_key)"
    " WHERE source_key IS NOT NULL",
    "CREATE UNIQUE INDEX credits_reference ON stored_credits (account, reference, rule_id, beside)"
    " NULLS NOT DISTINCT WHERE reference IS NOT NULL",
    "CREATE UNIQUE INDEX credits_day_slot ON stored_credits (account, of_day, rule_id, day_slot)"
    " WHERE of_day IS NOT NULL",
    "CREATE UNIQUE INDEX credits_month_slot ON stored_credits (account, of_month, rule_id, month_slot)"
    " WHERE of_month IS NOT NULL",
    "CREATE UNIQUE INDEX credits_streak_seq ON stored_credits (account, streak_seq, rule_id)"
    " WHERE streak_seq IS NOT NULL",
    "CREATE INDEX credits_campaign ON stored_credits (campaign, account) WHERE campaign IS NOT NULL",
    f"CREATE INDEX credits_lapse ON stored_credits (lapses_at) WHERE {WAITING}",
    f"CREATE INDEX credits_waiting ON stored_credits (account, lapses_at) WHERE {WAITING}",
    "CREATE INDEX credits_due ON stored_credits (due_at) WHERE state = 'pending' AND unit IS NULL",
    "CREATE INDEX credits_status_due ON stored_credits (due_at) WHERE state = 'pending' AND unit IS NOT NULL",
    "CREATE INDEX credits_expiring ON stored_credits ((coalesce(lot_ends_at, expires_at)))"
    " WHERE remaining > 0",
    "CREATE INDEX credits_left ON stored_credits (account) WHERE remaining > 0",
    "ALTER TABLE stored_entries ADD PRIMARY KEY (account, seq)",
    "CREATE INDEX entries_of_hold ON stored_entries (account, hold_id) WHERE hold_id IS NOT NULL",
)

# A member without a balance could earn nothing from now on, and rows of one would be lost. The audit compares
# the empty balance with the rows.
BALANCES = """
INSERT INTO balances (program_id, member_id, closed)
SELECT program_id, member_id, m.closed_at IS NOT NULL
FROM (
    SELECT program_id, member_id FROM members
    UNION SELECT program_id, member_id FROM credits
    UNION SELECT program_id, member_id FROM entries
) r
LEFT JOIN members m USING (program_id, member_id)
ON CONFLICT DO NOTHING
"""

# A decision can be shared when the activity says nothing but its name.
SHARED = """
    c.reference IS NULL AND c.why ->> 'version' = c.program_version
    AND jsonb_strip_nulls(c.why -> 'activity') - 'activity' = '{}'
    AND CAST(c.why ->> 'at' AS timestamptz) = c.activity_at
"""

# One that a single credit has stays with it.
SHARE = f"""
INSERT INTO decisions (digest, program_version, why)
SELECT sha256(convert_to(d.why, 'UTF8')), CAST(d.why AS jsonb) ->> 'version', CAST(d.why AS jsonb)
FROM (SELECT CAST(c.why - 'at' AS text) AS why FROM credits c WHERE {SHARED}) d
GROUP BY d.why HAVING count(*) > 1
"""  # noqa: S608  # Constants, here and below.

COPY_CREDITS = f"""
INSERT INTO stored_credits (
    account, id, points, activity_at, accepted_at, due_at, active_at, expires_at, remaining, lot_seq,
    decision, streak_seq, state, rule_id, source_key, reference, program_version, unit, boost, beside,
    campaign, reversed_at, lapses_at, taken_back, expired, lot_points, lot_ends_at, of_day, of_month,
    day_slot, month_slot, why
)
SELECT b.account, c.id, c.points, c.activity_at, c.accepted_at, c.due_at, c.active_at, c.expires_at,
       l.remaining, CAST(l.entry_seq AS integer), d.id, CAST(c.streak_seq AS smallint), c.state,
       c.rule_id, c.source_key, c.reference, CASE WHEN d.id IS NULL THEN c.program_version END,
       nullif(c.unit, 'points'), c.boost, c.beside, c.campaign, c.reversed_at, c.lapses_at,
       nullif(c.taken_back, 0), nullif(l.expired, 0),
       CASE WHEN l.points <> c.points THEN l.points END,
       CASE WHEN l.expires_at IS DISTINCT FROM c.expires_at THEN l.expires_at END,
       c.of_day, c.of_month, c.day_slot, c.month_slot, CASE WHEN d.id IS NULL THEN c.why END
FROM credits c
JOIN balances b ON b.program_id = c.program_id AND b.member_id = c.member_id
LEFT JOIN lots l ON l.program_id = c.program_id AND l.member_id = c.member_id AND l.credit_id = c.id
LEFT JOIN decisions d ON d.digest = CASE WHEN {SHARED}
    THEN sha256(convert_to(CAST(c.why - 'at' AS text), 'UTF8')) END
ORDER BY c.accepted_at, c.id
"""  # noqa: S608

COPY_ENTRIES = """
INSERT INTO stored_entries (
    account, at, active_delta, house_delta, balance_after, seq, kind, house_account, credit_id, held_delta,
    debt_delta, corrects, hold_id, reference
)
SELECT b.account, e.at, e.active_delta, e.house_delta, e.balance_after, CAST(e.seq AS integer),
       nullif(e.kind, 'earning'), nullif(e.house_account, 'issued'), e.credit_id,
       nullif(e.held_delta, 0), nullif(e.debt_delta, 0), CAST(e.corrects AS integer), e.hold_id, e.reference
FROM entries e
JOIN balances b ON b.program_id = e.program_id AND b.member_id = e.member_id
ORDER BY e.at, e.program_id, e.member_id, e.seq
"""

# The rows of before that are not there afterwards, by table. A lot is there if it reads the same.
LOST = {
    "credits": "SELECT (SELECT count(*) FROM credits) - (SELECT count(*) FROM stored_credits)",
    "entries": "SELECT (SELECT count(*) FROM entries) - (SELECT count(*) FROM stored_entries)",
    "lots": """
SELECT (SELECT count(*) FROM lots) - count(*)
FROM lots l
JOIN balances b ON b.program_id = l.program_id AND b.member_id = l.member_id
JOIN stored_credits c ON c.account = b.account AND c.id = l.credit_id
WHERE c.lot_seq = l.entry_seq AND c.remaining = l.remaining AND c.active_at = l.active_at
  AND coalesce(c.lot_points, c.points) = l.points AND coalesce(c.expired, 0) = l.expired
  AND coalesce(c.lot_ends_at, c.expires_at) IS NOT DISTINCT FROM l.expires_at
""",
}

LEDGER_VIEWS = {
    "credits": """
    SELECT b.program_id, b.member_id, c.id, c.source_key, c.reference, c.rule_id,
           coalesce(c.program_version, d.program_version) AS program_version, c.points,
           coalesce(c.unit, 'points') AS unit, c.boost, c.beside, c.campaign, c.state, c.activity_at,
           c.accepted_at, c.due_at, c.active_at, c.expires_at, c.reversed_at,
           coalesce(c.why, d.why || jsonb_build_object(
               'at', to_char(c.activity_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
           )) AS why,
           coalesce(c.taken_back, 0) AS taken_back, c.of_day, c.day_slot, c.of_month, c.month_slot,
           c.lapses_at, c.streak_seq, c.account
    FROM stored_credits c
    LEFT JOIN balances b ON b.account = c.account
    LEFT JOIN decisions d ON d.id = c.decision
""",
    "entries": """
    SELECT b.program_id, b.member_id, e.seq, coalesce(e.kind, 'earning') AS kind, e.at, e.active_delta,
           coalesce(e.held_delta, 0) AS held_delta, coalesce(e.debt_delta, 0) AS debt_delta,
           coalesce(e.house_account, CASE WHEN e.house_delta <> 0 THEN 'issued' END) AS house_account,
           e.house_delta, e.balance_after, e.credit_id, e.corrects, e.hold_id, e.reference, e.account
    FROM stored_entries e LEFT JOIN balances b ON b.account = e.account
""",
    "lots": """
    SELECT b.program_id, b.member_id, c.id AS credit_id, c.lot_seq AS entry_seq,
           coalesce(c.lot_points, c.points) AS points, c.remaining, c.active_at,
           coalesce(c.lot_ends_at, c.expires_at) AS expires_at, coalesce(c.expired, 0) AS expired, c.account
    FROM stored_credits c LEFT JOIN balances b ON b.account = c.account
    WHERE c.remaining IS NOT NULL
""",
}

MOVEMENT_VIEWS = {
    "legs": """
    SELECT program_id, member_id, seq, at, 'member:active' AS account, active_delta AS points
        FROM entries WHERE active_delta <> 0
    UNION ALL
    SELECT program_id, member_id, seq, at, 'member:held', held_delta FROM entries WHERE held_delta <> 0
    UNION ALL
    SELECT program_id, member_id, seq, at, 'member:debt', -debt_delta FROM entries WHERE debt_delta <> 0
    UNION ALL
    SELECT program_id, member_id, seq, at, 'house:' || house_account, house_delta
        FROM entries WHERE house_delta <> 0
""",
    "lot_movements": """
    SELECT program_id, member_id, credit_id, seq AS entry_seq, at, active_delta,
           CAST(0 AS bigint) AS held_delta
        FROM entries WHERE credit_id IS NOT NULL AND kind <> 'clawback'
    UNION ALL
    SELECT program_id, member_id, credit_id, entry_seq, at, active_delta, held_delta FROM lot_moves
""",
}

CREDITS = """
CREATE TABLE credits (
    program_id      text COLLATE "C" NOT NULL,
    member_id       text COLLATE "C" NOT NULL,
    id              uuid NOT NULL,
    source_key      text COLLATE "C" NOT NULL,
    reference       text COLLATE "C",
    rule_id         text NOT NULL,
    program_version text NOT NULL,
    points          bigint NOT NULL,
    unit            text NOT NULL DEFAULT 'points',
    boost           text,
    beside          text,
    campaign        text,
    state           text NOT NULL,
    activity_at     timestamptz NOT NULL,
    accepted_at     timestamptz NOT NULL,
    due_at          timestamptz,
    active_at       timestamptz,
    expires_at      timestamptz,
    reversed_at     timestamptz,
    why             jsonb NOT NULL,
    taken_back      bigint NOT NULL DEFAULT 0,
    of_day          date,
    day_slot        smallint,
    of_month        date,
    month_slot      smallint,
    lapses_at       timestamptz,
    streak_seq      integer,
    PRIMARY KEY (program_id, member_id, id),
    CONSTRAINT credits_state_check CHECK (state IN ('pending', 'active', 'reversed')),
    CONSTRAINT credits_unit_check CHECK (unit IN ('points', 'status')),
    CONSTRAINT credits_status_check CHECK (unit = 'points' OR (taken_back = 0 AND beside IS NULL)),
    CONSTRAINT credits_boost_check CHECK ((boost IS NULL) = (beside IS NULL)),
    CONSTRAINT credits_check CHECK (points > 0 OR (points = 0 AND state = 'reversed')),
    CONSTRAINT credits_check1 CHECK (active_at >= due_at),
    CONSTRAINT credits_check2 CHECK ((state IN ('active', 'expired')) <= (active_at IS NOT NULL)),
    CONSTRAINT credits_check3 CHECK (taken_back BETWEEN 0 AND points),
    CONSTRAINT credits_day_check CHECK ((of_day IS NULL) = (day_slot IS NULL)),
    CONSTRAINT credits_month_check CHECK ((of_month IS NULL) = (month_slot IS NULL)),
    CONSTRAINT credits_check4 CHECK (active_at >= accepted_at)
)
"""

ENTRIES = """
CREATE TABLE entries (
    program_id    text COLLATE "C" NOT NULL,
    member_id     text COLLATE "C" NOT NULL,
    seq           bigint NOT NULL,
    kind          text NOT NULL,
    at            timestamptz NOT NULL,
    active_delta  bigint NOT NULL DEFAULT 0,
    held_delta    bigint NOT NULL DEFAULT 0,
    debt_delta    bigint NOT NULL DEFAULT 0,
    house_account text,
    house_delta   bigint NOT NULL DEFAULT 0,
    balance_after bigint NOT NULL,
    credit_id     uuid,
    corrects      bigint,
    hold_id       uuid,
    reference     text,
    PRIMARY KEY (program_id, member_id, seq),
    CONSTRAINT entries_balance_after_check CHECK (balance_after >= 0),
    CONSTRAINT entries_check CHECK (active_delta + held_delta - debt_delta + house_delta = 0),
    CONSTRAINT entries_house_check CHECK ((house_account IS NULL) = (house_delta = 0))
)
"""

LOTS = """
CREATE TABLE lots (
    program_id text COLLATE "C" NOT NULL,
    member_id  text COLLATE "C" NOT NULL,
    credit_id  uuid NOT NULL,
    entry_seq  bigint NOT NULL,
    points     bigint NOT NULL,
    remaining  bigint NOT NULL,
    active_at  timestamptz NOT NULL,
    expires_at timestamptz,
    expired    bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (program_id, member_id, credit_id),
    CONSTRAINT lots_points_check CHECK (points > 0),
    CONSTRAINT lots_check CHECK (remaining BETWEEN 0 AND points),
    CONSTRAINT lots_expired_check CHECK (expired BETWEEN 0 AND points - remaining)
) WITH (fillfactor = 90)
"""

COLUMNS_BEFORE = {
    "credits": "program_id, member_id, id, source_key, reference, rule_id, program_version, points, unit,"
    " boost, beside, campaign, state, activity_at, accepted_at, due_at, active_at, expires_at, reversed_at,"
    " why, taken_back, of_day, day_slot, of_month, month_slot, lapses_at, streak_seq",
    "entries": "program_id, member_id, seq, kind, at, active_delta, held_delta, debt_delta, house_account,"
    " house_delta, balance_after, credit_id, corrects, hold_id, reference",
    "lots": "program_id, member_id, credit_id, entry_seq, points, remaining, active_at, expires_at, expired",
}

_MEMBER = "program_id, member_id"

INDEXES_BEFORE = (
    f"CREATE UNIQUE INDEX credits_source_key ON credits ({_MEMBER}, source_key)",
    f"CREATE UNIQUE INDEX credits_reference ON credits ({_MEMBER}, reference, rule_id, beside)"
    " NULLS NOT DISTINCT WHERE reference IS NOT NULL",
    f"CREATE UNIQUE INDEX credits_day_slot ON credits ({_MEMBER}, of_day, rule_id, day_slot)"
    " WHERE of_day IS NOT NULL",
    f"CREATE UNIQUE INDEX credits_month_slot ON credits ({_MEMBER}, of_month, rule_id, month_slot)"
    " WHERE of_month IS NOT NULL",
    f"CREATE UNIQUE INDEX credits_streak_seq ON credits ({_MEMBER}, rule_id, streak_seq)"
    " WHERE streak_seq IS NOT NULL",
    "CREATE INDEX credits_campaign ON credits (program_id, campaign, member_id) WHERE campaign IS NOT NULL",
    f"CREATE INDEX credits_lapse ON credits (lapses_at) WHERE {WAITING}",
    f"CREATE INDEX credits_waiting ON credits ({_MEMBER}, lapses_at) WHERE {WAITING}",
    "CREATE INDEX credits_due ON credits (due_at) WHERE state = 'pending'",
    "CREATE INDEX credits_status_due ON credits (due_at) WHERE state = 'pending' AND unit = 'status'",
    f"CREATE INDEX entries_of_hold ON entries ({_MEMBER}, hold_id) WHERE hold_id IS NOT NULL",
    "CREATE INDEX lots_expiring ON lots (expires_at) WHERE remaining > 0",
    "CREATE INDEX closings_into ON closings (program_id, merged_into) WHERE merged_into IS NOT NULL",
)


def upgrade() -> None:
    # Enough to sort and join without many rounds on disk, and little enough for a small machine.
    op.execute("SET LOCAL work_mem = '64MB'")
    op.execute("SET LOCAL maintenance_work_mem = '256MB'")
    op.execute("ALTER TABLE balances ADD COLUMN account bigint NOT NULL GENERATED ALWAYS AS IDENTITY")
    op.execute(BALANCES)
    op.execute("CREATE UNIQUE INDEX balances_account ON balances (account)")
    for statement in (DECISIONS, STORED_CREDITS, STORED_ENTRIES, SHARE):
        op.execute(statement)
    op.execute("CREATE UNIQUE INDEX decisions_digest ON decisions (digest)")
    for statement in (COPY_CREDITS, COPY_ENTRIES):
        op.execute(statement)
    _raise_if_lost()
    _drop_views(MOVEMENT_VIEWS)
    op.execute("DROP TABLE credits, entries, lots")
    for statement in INDEXES:
        op.execute(statement)
    op.execute("DROP INDEX closings_into")  # Nothing asks for it.
    _create_views(LEDGER_VIEWS | MOVEMENT_VIEWS)
    _analyze("balances", "stored_credits", "stored_entries", "decisions")


def downgrade() -> None:
    _drop_views(MOVEMENT_VIEWS)
    for view in LEDGER_VIEWS:
        op.execute(f"ALTER VIEW {view} RENAME TO read_{view}")
    for statement in (CREDITS, ENTRIES, LOTS):
        op.execute(statement)
    for table, columns in COLUMNS_BEFORE.items():
        op.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM read_{table}")  # noqa: S608
    _drop_views(f"read_{view}" for view in LEDGER_VIEWS)
    op.execute("DROP TABLE stored_credits, stored_entries, decisions")
    for statement in INDEXES_BEFORE:
        op.execute(statement)
    op.execute("ALTER TABLE balances DROP COLUMN account")
    _create_views(MOVEMENT_VIEWS)


def _raise_if_lost() -> None:
    for table, query in LOST.items():
        lost = op.get_bind().execute(text(query)).scalar_one()
        if lost:
            raise RuntimeError(f"{lost} rows of {table} would be lost, so nothing was changed")


def _drop_views(names: Iterable[str]) -> None:
    for name in names:
        op.execute(f"DROP VIEW {name}")


def _create_views(queries: Mapping[str, str]) -> None:
    for name, query in queries.items():
        op.execute(f"CREATE VIEW {name} AS {query}")


def _analyze(*tables: str) -> None:
    """Let statements be planned for the rows that were copied. A table without any is left unknown."""
    for table in tables:
        if op.get_bind().execute(text(f"SELECT EXISTS (SELECT FROM {table})")).scalar_one():  # noqa: S608
            op.execute(f"ANALYZE {table}")
