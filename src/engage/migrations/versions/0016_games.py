"""Games: runs, plays and prizes."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

RUNS = """
CREATE TABLE game_runs (
    program_id   text COLLATE "C" NOT NULL,
    game_id      text COLLATE "C" NOT NULL,
    run          integer NOT NULL,
    version      text NOT NULL,
    defined_at   timestamptz NOT NULL,
    terms        text NOT NULL,
    seed         bytea NOT NULL,
    commitment   text NOT NULL,
    committed_at timestamptz NOT NULL,
    opens_at     timestamptz NOT NULL,
    ends_at      timestamptz NOT NULL,
    plays        bigint NOT NULL DEFAULT 0,
    head         text NOT NULL,
    revealed_at  timestamptz,
    PRIMARY KEY (program_id, game_id, run),
    CONSTRAINT game_runs_check CHECK (run > 0 AND plays >= 0 AND opens_at < ends_at AND length(seed) = 32),
    CONSTRAINT game_runs_revealed_check CHECK (revealed_at >= ends_at)
) WITH (fillfactor = 70)
"""

PLAYS = """
CREATE TABLE game_plays (
    program_id text COLLATE "C" NOT NULL,
    member_id  text COLLATE "C" NOT NULL,
    game_id    text COLLATE "C" NOT NULL,
    run        integer NOT NULL,
    number     bigint NOT NULL,
    id         uuid NOT NULL,
    at         timestamptz NOT NULL,
    day        date NOT NULL,
    player     text NOT NULL,
    drawn      text,
    prize      text,
    cut        text,
    credit_id  uuid,
    coupon_id  uuid,
    PRIMARY KEY (program_id, game_id, run, number),
    CONSTRAINT game_plays_check CHECK (
        (prize IS NULL OR prize = drawn) AND (cut IS NULL) = (drawn IS NOT DISTINCT FROM prize)
    ),
    CONSTRAINT game_plays_prize_check CHECK (num_nonnulls(credit_id, coupon_id) = num_nonnulls(prize)),
    CONSTRAINT game_plays_cut_check CHECK (cut IN ('stock', 'per_day', 'wins_per_member', 'reward_sold_out'))
)
"""

MERGERS = """
CREATE TABLE game_mergers (
    program_id  text COLLATE "C" NOT NULL,
    game_id     text COLLATE "C" NOT NULL,
    run         integer NOT NULL,
    player      text COLLATE "C" NOT NULL,
    into_player text COLLATE "C" NOT NULL,
    after       bigint NOT NULL,
    PRIMARY KEY (program_id, game_id, run, player)
)
"""

PRIZES = """
CREATE TABLE game_prizes (
    program_id text COLLATE "C" NOT NULL,
    game_id    text COLLATE "C" NOT NULL,
    run        integer NOT NULL,
    prize      text COLLATE "C" NOT NULL,
    day        date NOT NULL,
    won        bigint NOT NULL CONSTRAINT game_prizes_won_check CHECK (won > 0),
    PRIMARY KEY (program_id, game_id, run, prize, day)
)
"""

CERTIFICATES = """
CREATE TABLE game_certificates (
    program_id text COLLATE "C" NOT NULL,
    game_id    text COLLATE "C" NOT NULL,
    run        integer NOT NULL,
    body       bytea NOT NULL,
    PRIMARY KEY (program_id, game_id, run)
)
"""

INDEXES = (
    "CREATE INDEX game_runs_ending ON game_runs (ends_at) WHERE revealed_at IS NULL",
    "CREATE INDEX game_plays_of_member ON game_plays (program_id, member_id, game_id, run, day)",
)


def upgrade() -> None:
    for statement in (RUNS, PLAYS, MERGERS, PRIZES, CERTIFICATES, *INDEXES):
        op.execute(statement)


def downgrade() -> None:
    for table in ("game_certificates", "game_prizes", "game_mergers", "game_plays", "game_runs"):
        op.execute(f"DROP TABLE {table}")
