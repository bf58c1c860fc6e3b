"""Runs of games: the committed seed, and the row under whose lock plays are numbered.

A run's row is locked after balances and before the stock of rewards. The seed leaves this module for the
flow that draws and for the certificate of a run that has ended, and for nothing else.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import ColumnElement, and_, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.schema.games import game_certificates, game_runs
from engage.schema.rows import Batch, from_row, select_list
from engage.schema.time import is_due

GameKey = tuple[str, str]  # (program, game)
RunKey = tuple[str, str, int]  # (program, game, run)


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A run as everyone may see it. `terms` is the committed text; its definition is in force since
    `defined_at`.
    """

    program_id: str
    game_id: str
    run: int
    version: str
    defined_at: datetime
    terms: str
    commitment: str
    committed_at: datetime
    opens_at: datetime
    ends_at: datetime
    plays: int = 0
    head: str
    revealed_at: datetime | None = None

    @property
    def key(self) -> RunKey:
        return self.program_id, self.game_id, self.run

    def has_begun(self, at: datetime) -> bool:
        """Tell whether its terms can no longer be changed."""
        return self.plays > 0 or self.opens_at <= at


class LockedRun(msgspec.Struct, frozen=True):
    """A run whose row is locked, with its seed."""

    run: Run
    seed: bytes

    def __repr__(self) -> str:
        return f"LockedRun({self.run!r})"  # Without the seed, wherever it may be printed.


_GAMES = Batch("k", game_runs, "program_id", "game_id")
_RUNS = Batch("k", game_runs, "program_id", "game_id", "run")
_COLUMNS = select_list(Run, "r")

_LATEST = f"""
SELECT {_COLUMNS} FROM {_GAMES}
CROSS JOIN LATERAL (
    SELECT * FROM game_runs g WHERE g.program_id = k.program_id AND g.game_id = k.game_id
    ORDER BY g.run DESC LIMIT 1
) r
"""  # noqa: S608  # Names of the schema, here and below.
_READ_LATEST = text(_LATEST)


def latest_run_sql(program_id: str, game_id: str) -> str:
    """A query for the newest run of a game, as it may be seen."""
    return f"""SELECT {_COLUMNS} FROM game_runs r
        WHERE r.program_id = {program_id} AND r.game_id = {game_id} ORDER BY r.run DESC LIMIT 1"""  # noqa: S608


_LOCK = text(f"""
SELECT r.seed, {_COLUMNS} FROM {_RUNS} JOIN game_runs r USING (program_id, game_id, run)
ORDER BY r.program_id, r.game_id, r.run FOR UPDATE OF r
""")  # noqa: S608

_LOCK_GAME = text("SELECT pg_advisory_xact_lock(hashtextextended(:program_id || ':' || :game_id, 7))")

_LOCK_ENDED = text(f"""
SELECT r.seed, {_COLUMNS} FROM game_runs r
WHERE r.revealed_at IS NULL AND {is_due("r.ends_at")}
ORDER BY r.ends_at LIMIT 1 FOR UPDATE SKIP LOCKED
""")  # noqa: S608


async def read_latest(conn: AsyncConnection, games: Iterable[GameKey]) -> dict[GameKey, Run]:
    """Read the newest run of each game; a game without one is absent."""
    rows = await conn.execute(_READ_LATEST, _GAMES.of(sorted(set(games))))
    found = [from_row(Run, row) for row in rows]
    return {(run.program_id, run.game_id): run for run in found}


async def lock_game(conn: AsyncConnection, key: GameKey) -> None:
    """Let nobody else add a run of a game until the transaction ends."""
    await conn.execute(_LOCK_GAME, {"program_id": key[0], "game_id": key[1]})


async def add_run(conn: AsyncConnection, run: Run, seed: bytes) -> None:
    await conn.execute(insert(game_runs).values(**msgspec.structs.asdict(run), seed=seed))


async def change_run(conn: AsyncConnection, run: Run, seed: bytes) -> None:
    """Write other terms, with another seed, of a locked run that has not begun."""
    values = msgspec.structs.asdict(run) | {"seed": seed}
    await conn.execute(update(game_runs).where(_is(run.key)).values(**values))


async def lock_runs(conn: AsyncConnection, keys: Iterable[RunKey]) -> dict[RunKey, LockedRun]:
    """Lock runs until the transaction ends, in order of their keys."""
    rows = await conn.execute(_LOCK, _RUNS.of(sorted(set(keys))))
    found = [LockedRun(from_row(Run, fields), seed) for seed, *fields in rows]
    return {locked.run.key: locked for locked in found}


async def lock_ended(
    conn: AsyncConnection, *, now: datetime, ahead: timedelta, on_time: bool
) -> LockedRun | None:
    """Lock a run that has ended by `now` and is not revealed, and that nobody else has locked."""
    values = {"now": now, "ahead": ahead, "on_time": on_time}
    row = (await conn.execute(_LOCK_ENDED, values)).one_or_none()
    return None if row is None else LockedRun(from_row(Run, row[1:]), row[0])


async def next_end(conn: AsyncConnection, *, after: datetime) -> datetime | None:
    """Read the first time later than `after` at which a run ends that is not revealed."""
    ends_at, revealed_at = game_runs.c.ends_at, game_runs.c.revealed_at
    query = select(func.min(ends_at)).where(ends_at > after, revealed_at.is_(None))
    end: datetime | None = (await conn.execute(query)).scalar()
    return end


async def next_never(conn: AsyncConnection, *, after: datetime) -> None:
    """Commitments fall due at no time: a game is committed when it is first seen."""


async def reveal(conn: AsyncConnection, key: RunKey, certificate: bytes, *, at: datetime) -> None:
    """Keep the certificate of a locked run that has ended. From now on nobody can play it."""
    await conn.execute(update(game_runs).where(_is(key)).values(revealed_at=at))
    program_id, game_id, run = key
    await conn.execute(
        insert(game_certificates).values(program_id=program_id, game_id=game_id, run=run, body=certificate)
    )


async def read_certificate(conn: AsyncConnection, key: GameKey) -> bytes | None:
    """Read the certificate of the newest run of a game that has ended."""
    c = game_certificates.c
    query = select(c.body).where(c.program_id == key[0], c.game_id == key[1]).order_by(c.run.desc()).limit(1)
    body: bytes | None = (await conn.execute(query)).scalar()
    return body


def _is(key: RunKey) -> ColumnElement[bool]:
    c = game_runs.c
    return and_(c.program_id == key[0], c.game_id == key[1], c.run == key[2])
