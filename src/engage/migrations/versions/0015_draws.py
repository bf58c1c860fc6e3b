"""Prize draws: entries, frozen lists and winners."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

DRAWS = """
CREATE TABLE draws (
    program_id    text COLLATE "C" NOT NULL,
    draw_id       text COLLATE "C" NOT NULL,
    version       text NOT NULL,
    state         text NOT NULL CHECK (state IN ('open', 'frozen', 'drawn', 'void')),
    closes_at     timestamptz NOT NULL,
    round_after_s integer NOT NULL,
    prizes        integer NOT NULL,
    points        bigint NOT NULL,
    last_number   integer NOT NULL DEFAULT 0,
    published_at  timestamptz,
    entries       integer,
    root          text,
    beacon        text,
    public_key    text,
    round         bigint,
    round_at      timestamptz,
    ask_at        timestamptz,
    asked         integer NOT NULL DEFAULT 0,
    signature     text,
    drawn_at      timestamptz,
    PRIMARY KEY (program_id, draw_id),
    CONSTRAINT draws_frozen_check CHECK ((state = 'open') = (published_at IS NULL)),
    CONSTRAINT draws_early_check CHECK (published_at >= closes_at),
    CONSTRAINT draws_list_check
        CHECK ((root IS NULL) = (round IS NULL) AND (round IS NULL) = (round_at IS NULL)),
    CONSTRAINT draws_round_check CHECK (round_at > published_at),
    CONSTRAINT draws_drawn_check
        CHECK ((state = 'drawn') = (signature IS NOT NULL AND drawn_at IS NOT NULL)),
    CONSTRAINT draws_drawn_early_check CHECK (drawn_at >= round_at),
    CONSTRAINT draws_asking_check CHECK ((state = 'frozen') = (ask_at IS NOT NULL))
)
"""

ENTRIES = """
CREATE TABLE draw_entries (
    program_id text COLLATE "C" NOT NULL,
    member_id  text COLLATE "C" NOT NULL,
    draw_id    text COLLATE "C" NOT NULL,
    number     integer NOT NULL CHECK (number > 0),
    entry_id   uuid NOT NULL,
    entered_as text COLLATE "C" NOT NULL,
    salt       text NOT NULL,
    hash       text NOT NULL,
    post       jsonb,
    entered_at timestamptz NOT NULL,
    prize_at   timestamptz,
    paid_at    timestamptz,
    PRIMARY KEY (program_id, draw_id, number),
    CONSTRAINT draw_entries_paid_check CHECK (paid_at >= prize_at)
)
"""

LIST = """
CREATE TABLE draw_list (
    program_id text COLLATE "C" NOT NULL,
    draw_id    text COLLATE "C" NOT NULL,
    number     integer NOT NULL,
    hash       text NOT NULL,
    place      integer CHECK (place > 0),
    PRIMARY KEY (program_id, draw_id, number)
)
"""

INDEXES = (
    "CREATE INDEX draws_closing ON draws (closes_at) WHERE state = 'open'",
    "CREATE INDEX draws_asking ON draws (ask_at) WHERE state = 'frozen'",
    "CREATE UNIQUE INDEX draw_entries_of_member ON draw_entries (program_id, member_id, draw_id)",
    """
    CREATE INDEX draw_entries_unpaid ON draw_entries (prize_at)
    WHERE prize_at IS NOT NULL AND paid_at IS NULL
    """,
    """
    CREATE UNIQUE INDEX draw_list_winners ON draw_list (program_id, draw_id, place)
    WHERE place IS NOT NULL
    """,
)


def upgrade() -> None:
    for statement in (DRAWS, ENTRIES, LIST, *INDEXES):
        op.execute(statement)


def downgrade() -> None:
    for table in ("draw_list", "draw_entries", "draws"):
        op.execute(f"DROP TABLE {table}")
