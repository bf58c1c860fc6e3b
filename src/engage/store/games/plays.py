"""Plays, and the prizes that were won.

A member's plays are written only while the member's balance is locked, and numbered while the run is.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.games.outcome import Cut
from engage.schema.games import game_plays, game_prizes, game_runs
from engage.schema.rows import Batch
from engage.store.games.runs import RunKey

PlayerKey = tuple[str, str, str, int]  # (program, member, game, run)
Days = tuple[date, date]  # The first and the last day of a window.
PrizeKey = tuple[str, str, int, str]  # (program, game, run, prize)
PrizeDay = tuple[str, str, int, str, date]  # (program, game, run, prize, day)


class NewPlay(msgspec.Struct, frozen=True, kw_only=True):
    program_id: str
    member_id: str
    game_id: str
    run: int
    number: int
    id: UUID
    at: datetime
    day: date
    player: str
    drawn: str | None
    prize: str | None
    cut: Cut | None
    credit_id: UUID | None = None
    coupon_id: UUID | None = None


class PlayerSoFar(msgspec.Struct, frozen=True):
    """The plays and wins of a member in the windows that were asked for, the time of the last of these plays,
    and the member's name in the run; None before the first play.
    """

    played: int
    last_play: datetime | None
    won: int
    player: str | None


class PrizesWon(msgspec.Struct, frozen=True):
    """The number of a prize that was won, in all and by day."""

    total: int
    on: dict[date, int]


NOTHING_YET = PlayerSoFar(0, None, 0, None)

_PLAYERS = Batch(
    "k",
    game_plays,
    *("program_id", "member_id", "game_id", "run"),
    chances_since="date",
    chances_until="date",
    wins_since="date",
    wins_until="date",
)
_NEW = Batch("a", game_plays, *NewPlay.__struct_fields__)
_HEADS = Batch("h", game_runs, "program_id", "game_id", "run", "plays", "head")
_WON = Batch("w", game_prizes, "program_id", "game_id", "run", "prize", "day", "won")
_DAYS = Batch("k", game_prizes, "program_id", "game_id", "run", "day")

_SO_FAR = text(f"""
SELECT k.program_id, k.member_id, k.game_id, k.run,
       count(*) FILTER (WHERE p.day BETWEEN k.chances_since AND k.chances_until) AS played,
       max(p.at) FILTER (WHERE p.day BETWEEN k.chances_since AND k.chances_until) AS last_play,
       count(p.prize) FILTER (WHERE p.day BETWEEN k.wins_since AND k.wins_until) AS won,
       max(p.player) FILTER (WHERE m.player IS NULL) AS player
FROM {_PLAYERS}
JOIN game_plays p USING (program_id, member_id, game_id, run)
LEFT JOIN game_mergers m
    ON m.program_id = p.program_id AND m.game_id = p.game_id AND m.run = p.run AND m.player = p.player
GROUP BY 1, 2, 3, 4
""")  # noqa: S608  # Names of the schema, here and below.

# Of all days, and of the days that are asked for.
_PRIZES = text(f"""
SELECT w.program_id, w.game_id, w.run, w.prize, CAST(sum(w.won) AS bigint),
       jsonb_object_agg(w.day, w.won) FILTER (WHERE w.day = ANY(k.days))
FROM (SELECT program_id, game_id, run, array_agg(day) AS days FROM {_DAYS} GROUP BY 1, 2, 3) k
JOIN game_prizes w USING (program_id, game_id, run)
GROUP BY 1, 2, 3, 4
""")  # noqa: S608

_WRITE = text(f"""
WITH heads AS (
    UPDATE game_runs r SET plays = h.plays, head = h.head FROM {_HEADS}
    WHERE r.program_id = h.program_id AND r.game_id = h.game_id AND r.run = h.run
), won AS (
    INSERT INTO game_prizes AS o ({_WON.columns}) SELECT {_WON.columns} FROM {_WON}
    ON CONFLICT (program_id, game_id, run, prize, day) DO UPDATE SET won = o.won + excluded.won
)
INSERT INTO game_plays ({_NEW.columns}) SELECT {_NEW.columns} FROM {_NEW}
""")  # noqa: S608

_LIST = text("""
SELECT number, day, player, drawn, prize, cut FROM game_plays
WHERE program_id = :program_id AND game_id = :game_id AND run = :run AND number > :after
ORDER BY number LIMIT :limit
""")

_MERGERS = text("""
SELECT player, into_player, after FROM game_mergers
WHERE program_id = :program_id AND game_id = :game_id AND run = :run
ORDER BY after, player
""")


async def read_so_far(
    conn: AsyncConnection, queries: Mapping[PlayerKey, tuple[Days, Days]]
) -> dict[PlayerKey, PlayerSoFar]:
    """Read what members have played and won in a run, each within its window: of chances, and of wins.
    Members who have not played are absent.
    """
    values = _PLAYERS.of((*key, *chances, *wins) for key, (chances, wins) in queries.items())
    rows = await conn.execute(_SO_FAR, values)
    return {
        (program_id, member_id, game_id, run): PlayerSoFar(*found)
        for program_id, member_id, game_id, run, *found in rows
    }


async def read_prizes(
    conn: AsyncConnection, days: Iterable[tuple[RunKey, date]]
) -> dict[PrizeKey, PrizesWon]:
    """Read how many of each prize were won in all, and on each of these days of a run."""
    rows = await conn.execute(_PRIZES, _DAYS.of((*key, day) for key, day in sorted(set(days))))
    return {
        (program_id, game_id, run, prize): PrizesWon(
            won, {date.fromisoformat(day): count for day, count in (on_days or {}).items()}
        )
        for program_id, game_id, run, prize, won, on_days in rows
    }


async def write_plays(
    conn: AsyncConnection,
    plays: Sequence[NewPlay],
    heads: Mapping[RunKey, tuple[int, str]],
    won: Mapping[PrizeDay, int],
) -> None:
    """Write plays of locked runs, the number and receipt of the last play of each, and the prizes won now."""
    await conn.execute(
        _WRITE,
        _NEW.of_structs(plays)
        | _HEADS.of((*key, plays, head) for key, (plays, head) in sorted(heads.items()))
        | _WON.of((*key, count) for key, count in sorted(won.items())),
    )


class ListedPlay(msgspec.Struct, frozen=True):
    number: int
    day: date
    player: str
    drawn: str | None
    prize: str | None
    cut: Cut | None


async def list_plays(conn: AsyncConnection, key: RunKey, *, after: int, limit: int) -> list[ListedPlay]:
    """List plays of a run in order of their numbers, from the one behind `after`."""
    values = {"program_id": key[0], "game_id": key[1], "run": key[2], "after": after, "limit": limit}
    return [ListedPlay(*row) for row in await conn.execute(_LIST, values)]


async def list_mergers(conn: AsyncConnection, key: RunKey) -> list[tuple[str, str, int]]:
    """List (player, into, after) of the mergers of a run's players."""
    values = {"program_id": key[0], "game_id": key[1], "run": key[2]}
    return [(player, into, after) for player, into, after in await conn.execute(_MERGERS, values)]
