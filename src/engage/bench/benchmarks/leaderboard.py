"""`leaderboard`: the places around a member on a board of a million, and what it takes to keep the board."""

import random
import time
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from sqlalchemy import text

from engage.bench.figures import Figure, percentile
from engage.bench.setup.constants import COUNTRY, PRESET
from engage.bench.setup.environment import Environment
from engage.bench.setup.members import add_members, vacuum
from engage.domain.leaderboards.definition import Leaderboard
from engage.domain.leaderboards.kind import LEADERBOARD
from engage.domain.leaderboards.periods import WHOLE
from engage.flows.definitions.change import add_definition
from engage.flows.leaderboards.load import load_board
from engage.flows.leaderboards.read import BoardQuestion, BoardView, read_board
from engage.gate.boards import BoardRow
from engage.programs import preset
from engage.runtime.database import transaction
from engage.runtime.services import Services, open_services

AROUND_MS: Final = 2.0
NEIGHBOURS: Final = 2
BOARD: Final = "bench"
PREFIX: Final = "ranked-"
ROWS_PER_STATEMENT: Final = 50_000
ROWS_PER_UPDATE: Final = 64

_PERIOD = text("""
INSERT INTO board_periods (program_id, board_id, period, version)
VALUES (:program_id, :board_id, :period, '#1')
""")

# Few different scores, so that ties are many.
_SCORES = text("""
INSERT INTO board_scores (program_id, member_id, board_id, period, score, reached_at)
SELECT :program_id, CAST(:prefix AS text) || n, :board_id, :period, 1 + n % 5000 * 7919 % 5000,
       CAST(:now AS timestamptz) - n * interval '1 second'
FROM generate_series(CAST(:first AS int), CAST(:last AS int)) AS n
""")

_NAMES = text("""
INSERT INTO display_names (program_id, member_id, name)
SELECT program_id, member_id, 'Name ' || member_id FROM board_scores WHERE score % 2 = 0
""")


async def run(env: Environment) -> list[Figure]:
    async with open_services(env.settings) as services:
        await services.programs.refresh(services.db)
        await _add_board(env, services)
        loaded_s = await _load(env, services)
        asked = random.Random(1).sample(range(env.sizes.ranked), min(env.sizes.placed, env.sizes.ranked))  # noqa: S311
        await _add_askers(services, asked)
        around = await _measure(asked, lambda n: _around(services, n))
        top = await _measure(asked, lambda n: _top(services, n))
        updates = await _updates(env, services)
    ranked = env.sizes.ranked
    note = f"{ranked:,} members on the board, {len(asked):,} asked, one at a time"
    return [
        Figure(
            benchmark="leaderboard",
            what=f"the places around a member, {NEIGHBOURS} before and after, with names",
            value=percentile(around, 50),
            unit="ms",
            at_most=AROUND_MS,
            note=f"{note}; p99 {percentile(around, 99):.2f} ms",
        ),
        Figure(
            benchmark="leaderboard",
            what="the first ten places, with names",
            value=percentile(top, 50),
            unit="ms",
            note=f"p99 {percentile(top, 99):.2f} ms",
        ),
        Figure(
            benchmark="leaderboard",
            what="scores written to Valkey",
            value=updates,
            unit="scores/s",
            note=f"{ROWS_PER_UPDATE} a call",
        ),
        Figure(
            benchmark="leaderboard",
            what="a lost board loaded from PostgreSQL",
            value=ranked / loaded_s,
            unit="members/s",
            note=f"{loaded_s:.1f} s for the whole board",
        ),
    ]


async def _add_board(env: Environment, services: Services) -> None:
    program = preset(PRESET)
    board = {"id": BOARD, "program": program.id, "title": {"en": "Bench"}, "score": "points_earned"}
    await add_definition(services, LEADERBOARD, msgspec.convert(board, Leaderboard), operator="bench")
    values = {"program_id": program.id, "board_id": BOARD, "period": WHOLE}
    async with transaction(services.db) as conn:
        await conn.execute(_PERIOD, values)
    for first in range(0, env.sizes.ranked, ROWS_PER_STATEMENT):
        env.report(f"leaderboard: {first:,} of {env.sizes.ranked:,} scores")
        last = min(first + ROWS_PER_STATEMENT, env.sizes.ranked) - 1
        span = {"prefix": PREFIX, "first": first, "last": last, "now": services.clock.now()}
        async with transaction(services.db) as conn:
            await conn.execute(_SCORES, values | span)
    async with transaction(services.db) as conn:
        await conn.execute(_NAMES)
    await vacuum(services.db)


async def _load(env: Environment, services: Services) -> float:
    env.report("leaderboard: loading the board into Valkey")
    await services.gate.install()
    started = time.perf_counter()
    assert await load_board(services, (preset(PRESET).id, BOARD, WHOLE))
    return time.perf_counter() - started


async def _add_askers(services: Services, asked: list[int]) -> None:
    """Make members of those who ask; the others are on the board alone."""
    program, now = preset(PRESET), services.clock.now()
    for n in asked:
        await add_members(services.db, program, f"{PREFIX}{n}-", 1, now=now, country=COUNTRY)
    async with transaction(services.db) as conn:
        for table in ("balances", "members"):
            await conn.exec_driver_sql(
                f"UPDATE {table} SET member_id = left(member_id, -2)"  # noqa: S608  # Constants.
                f" WHERE starts_with(member_id, '{PREFIX}') AND right(member_id, 2) = '-0'"
            )


async def _measure(asked: list[int], ask: Callable[[int], Awaitable[BoardView]]) -> list[float]:
    """Return the milliseconds of each question. The one before it is not measured: it loads the member."""
    times = []
    for n in asked:
        await ask(n)
        started = time.perf_counter()
        view = await ask(n)
        times.append((time.perf_counter() - started) * 1000)
        assert view.items, "the member is on the board"
    return times


def _question(n: int, *, top: int | None = None, around: int = 0) -> BoardQuestion:
    return BoardQuestion(preset(PRESET).id, f"{PREFIX}{n}", BOARD, "en", top=top, around=around)


async def _around(services: Services, n: int) -> BoardView:
    view = await read_board(services, _question(n, around=NEIGHBOURS))
    assert any(item.me for item in view.items)
    return view


async def _top(services: Services, n: int) -> BoardView:
    return await read_board(services, _question(n, top=10))


async def _updates(env: Environment, services: Services) -> float:
    """Return scores a second that Valkey takes."""
    now, count = services.clock.now(), env.sizes.placed * 10
    board = (preset(PRESET).id, BOARD, WHOLE)
    rows = [BoardRow(f"{PREFIX}{n * 37 % env.sizes.ranked}", 6_000 + n, now, 2) for n in range(count)]
    started = time.perf_counter()
    for first in range(0, count, ROWS_PER_UPDATE):
        await services.gate.boards.update(board, rows[first : first + ROWS_PER_UPDATE])
    return count / (time.perf_counter() - started)
