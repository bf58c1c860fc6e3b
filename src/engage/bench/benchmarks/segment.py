"""`segment`: `engage segment import` of a list of a million and of another one, and looks at it."""

import asyncio
import random
import time
from pathlib import Path
from typing import Final

from sqlalchemy import text

from engage.bench.figures import Figure, percentile
from engage.bench.setup.commands import run_command
from engage.bench.setup.constants import PRESET, member_id
from engage.bench.setup.environment import Environment
from engage.bench.setup.members import add_members, vacuum
from engage.programs import preset
from engage.runtime.database import one_statement
from engage.runtime.services import Services, open_services
from engage.store.segments.members import ListAt, read_stays

MAX_SECONDS: Final = 30.0
SEGMENT: Final = "bench"
# As long as an id of the shop is: 36 characters with the number.
PREFIX: Final = "listed-0123456789-0123456789-"
BATCH: Final = 64
LOOKS: Final = 200

_VACUUM = text("VACUUM ANALYZE segment_members")


async def run(env: Environment) -> list[Figure]:
    listed = env.sizes.listed
    async with open_services(env.settings) as services:
        # Half of the members of the second list were in the first one.
        await _add_members(env, services, listed + listed // 2)
        first = await _import(env, 0, "a first list")
        second = await _import(env, listed // 2, "a list of which half is new")
        looks = await _look(services, env)
    size = f"{listed:,} ids"
    return [
        Figure(
            benchmark="segment",
            what="`engage segment import` of a first list",
            value=first,
            unit="s",
            at_most=MAX_SECONDS,
            note=size,
        ),
        Figure(
            benchmark="segment",
            what="`engage segment import` of a list of which half is new",
            value=second,
            unit="s",
            at_most=MAX_SECONDS,
            note=size,
        ),
        Figure(
            benchmark="segment",
            what=f"which of {BATCH} members are in the list, in one statement",
            value=percentile(looks, 50),
            unit="ms",
            note=f"p99 {percentile(looks, 99):.2f} ms",
        ),
    ]


async def _add_members(env: Environment, services: Services, count: int) -> None:
    env.report(f"segment: adding {count:,} members")
    await add_members(services.db, preset(PRESET), PREFIX, count, now=services.clock.now())
    await vacuum(services.db)


async def _import(env: Environment, first: int, what: str) -> float:
    """Return the seconds of the command for a list of the members from `first` on."""
    file = env.folder.path / "listed.csv"
    await asyncio.to_thread(_write, file, first, env.sizes.listed)
    env.report(f"segment: importing {what}")
    done = await run_command(
        env, "segment", "import", str(file), "--program", preset(PRESET).id, "--segment", SEGMENT
    )
    return done.seconds


def _write(file: Path, first: int, count: int) -> None:
    with file.open("w") as opened:
        opened.writelines(f"{member_id(PREFIX, n)}\n" for n in range(first, first + count))


async def _look(services: Services, env: Environment) -> list[float]:
    """Return the milliseconds of each look at a batch of members, half of whom are in the list."""
    async with services.db.execution_options(isolation_level="AUTOCOMMIT").connect() as conn:
        await conn.execute(_VACUUM)
    at, times, chance = services.clock.now(), [], random.Random(1)  # noqa: S311  # Not a secret.
    async with one_statement(services.db) as conn:
        for _ in range(LOOKS):
            numbers = chance.choices(range(2 * env.sizes.listed), k=BATCH)
            asked = {ListAt(preset(PRESET).id, SEGMENT, at): {member_id(PREFIX, n) for n in numbers}}
            started = time.perf_counter()
            await read_stays(conn, asked)
            times.append((time.perf_counter() - started) * 1_000)
    return times
