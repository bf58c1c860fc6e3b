"""Games: their runs with committed seeds, the plays, and the prizes that were won."""

from sqlalchemy import (
    BigInteger,
    Date,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    text,
)

from engage.schema.columns import IDENTIFIER, INSTANT, check, member_key, metadata, one_of, optional, required
from engage.schema.member_rows import Keep, Statement, member_rows

# A run is a game from its beginning to its end. `terms` is the text that is committed with the seed. `head`
# is the receipt of the last play, and `plays` its number: plays are numbered under the lock of this row.
game_runs = Table(
    "game_runs",
    metadata,
    required("program_id", IDENTIFIER),
    required("game_id", IDENTIFIER),
    required("run", Integer),
    required("version", Text),
    required("defined_at", INSTANT),
    required("terms", Text),
    required("seed", LargeBinary),
    required("commitment", Text),
    required("committed_at", INSTANT),
    required("opens_at", INSTANT),
    required("ends_at", INSTANT),
    required("plays", BigInteger, "0"),
    required("head", Text),
    optional("revealed_at", INSTANT),
    PrimaryKeyConstraint("program_id", "game_id", "run"),
    check("game_runs_check", "run > 0 AND plays >= 0 AND opens_at < ends_at AND length(seed) = 32"),
    check("game_runs_revealed_check", "revealed_at >= ends_at"),
    Index("game_runs_ending", "ends_at", postgresql_where=text("revealed_at IS NULL")),
    postgresql_with={"fillfactor": 70},
)

# The names of players of both members that have played are joined, so that the wins of both count.
_MERGE_PLAYS = """
WITH names AS (
    SELECT p.game_id, p.run, p.member_id, p.player, max(p.number) AS last
    FROM game_plays p JOIN game_runs r USING (program_id, game_id, run)
    WHERE p.program_id = :program_id AND p.member_id IN (:member_id, :into) AND r.revealed_at IS NULL
      AND NOT EXISTS (
          SELECT FROM game_mergers m
          WHERE m.program_id = p.program_id AND m.game_id = p.game_id AND m.run = p.run
            AND m.player = p.player
      )
    GROUP BY 1, 2, 3, 4
), joined AS (
    INSERT INTO game_mergers (program_id, game_id, run, player, into_player, after)
    SELECT :program_id, a.game_id, a.run, a.player, b.player, greatest(a.last, b.last)
    FROM names a JOIN names b USING (game_id, run)
    WHERE a.member_id = :member_id AND b.member_id = :into
)
UPDATE game_plays SET member_id = :into WHERE program_id = :program_id AND member_id = :member_id
"""

# `player` is a random name of the member in this run, which the certificate shows instead of the member.
game_plays = Table(
    "game_plays",
    metadata,
    *member_key(),
    required("game_id", IDENTIFIER),
    required("run", Integer),
    required("number", BigInteger),
    required("id", Uuid),
    required("at", INSTANT),
    required("day", Date),
    required("player", Text),
    optional("drawn", Text),
    optional("prize", Text),
    optional("cut", Text),
    optional("credit_id", Uuid),
    optional("coupon_id", Uuid),
    PrimaryKeyConstraint("program_id", "game_id", "run", "number"),
    check(
        "game_plays_check",
        "(prize IS NULL OR prize = drawn) AND (cut IS NULL) = (drawn IS NOT DISTINCT FROM prize)",
    ),
    check("game_plays_prize_check", "num_nonnulls(credit_id, coupon_id) = num_nonnulls(prize)"),
    one_of("game_plays_cut_check", "cut", "stock", "per_day", "wins_per_member", "reward_sold_out"),
    Index("game_plays_of_member", "program_id", "member_id", "game_id", "run", "day"),
    info=member_rows(
        merge=Statement(_MERGE_PLAYS),
        erase=Keep("A play is a number, a day and a prize: nothing personal."),
    ),
)

game_mergers = Table(
    "game_mergers",
    metadata,
    required("program_id", IDENTIFIER),
    required("game_id", IDENTIFIER),
    required("run", Integer),
    required("player", IDENTIFIER),
    required("into_player", IDENTIFIER),
    required("after", BigInteger),
    PrimaryKeyConstraint("program_id", "game_id", "run", "player"),
)

# The prizes won of each on each local day, under the lock of the run's row.
game_prizes = Table(
    "game_prizes",
    metadata,
    required("program_id", IDENTIFIER),
    required("game_id", IDENTIFIER),
    required("run", Integer),
    required("prize", IDENTIFIER),
    required("day", Date),
    required("won", BigInteger),
    PrimaryKeyConstraint("program_id", "game_id", "run", "prize", "day"),
    check("game_prizes_won_check", "won > 0"),
)

# The text of a certificate, made once when the run has ended.
game_certificates = Table(
    "game_certificates",
    metadata,
    required("program_id", IDENTIFIER),
    required("game_id", IDENTIFIER),
    required("run", Integer),
    required("body", LargeBinary),
    PrimaryKeyConstraint("program_id", "game_id", "run"),
)
