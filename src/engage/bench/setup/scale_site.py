"""An installation with very many members, their past their records at the gate, and what all this takes."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from typing import Final

from msgspec import Struct, field
from redis.asyncio import Redis
from sqlalchemy import text

from engage.bench.clients import checkout_client, quiz_client
from engage.bench.figures import Figure
from engage.bench.setup.books import Members, add_books
from engage.bench.setup.child_program import ChildProgram, child_program
from engage.bench.setup.commands import run_command
from engage.bench.setup.constants import member_id, spread_number
from engage.bench.setup.environment import Environment
from engage.bench.setup.members import vacuum
from engage.bench.setup.queries import fetch_row
from engage.bench.setup.scale_program import SCALE, publish_scale
from engage.domain.program.program import Program
from engage.flows.operations.keys import create_key
from engage.gate import keys
from engage.runtime.services import Services, open_services

# As long as an id of the shop is: 36 characters with the number.
PREFIX: Final = "scale-01234567-0123-0123-0123-"
# Credits to settle are of days before all that is booked.
DAYS_AGO: Final = 100

_SIZES: Final = text("""
SELECT pg_total_relation_size('stored_credits'), pg_total_relation_size('stored_entries'),
       pg_total_relation_size('members') + pg_total_relation_size('balances')
""")


class Site(Struct, frozen=True):
    """An installation with `size` members, its program and clients. `http` takes quizzes too."""

    env: Environment
    size: int
    services: Services
    program: Program
    key: str
    http: ChildProgram
    checkout: ChildProgram
    days: Iterator[int] = field(default_factory=lambda: count(DAYS_AGO))


@asynccontextmanager
async def open_site(env: Environment, size: int) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(open_services(env.settings, command_timeout_s=None))
        program = await publish_scale(services)
        yield Site(
            env=env,
            size=size,
            services=services,
            program=program,
            key=await create_key(services.db, name="scale benchmark", scopes=["shop"], programs=None),
            http=await stack.enter_async_context(child_program(quiz_client, env.folder.logs)),
            checkout=await stack.enter_async_context(child_program(checkout_client, env.folder.logs)),
        )


async def fill(site: Site) -> AsyncIterator[Figure]:
    """Add the members with their past, and load all into the gate. Yield what they take, and the times."""
    size, each = site.size, site.env.sizes.credits_each
    what = f"{size:,} members with {each} settled credits each"

    def report(progress: str) -> None:
        site.env.report(f"scale: {what}: {progress}")

    report("adding")
    empty = await _valkey_bytes(site)
    started = time.perf_counter()
    members = Members(site.program, PREFIX, 0, size, each)
    await add_books(site.env.settings.database_url, members, now=site.services.clock.now(), report=report)
    report("vacuuming")
    await vacuum(site.services.db)
    added_s = time.perf_counter() - started
    yield _figure(f"adding {what}", added_s, "s", note=f"{added_s / (size * each) * 1e6:.0f} µs a credit")
    stored, entries, people = await fetch_row(site.services.db, _SIZES)
    yield _figure(f"bytes of a credit in PostgreSQL: {what}", (stored + entries) / (size * each), "bytes")
    yield _figure(f"bytes of each of {size:,} members in PostgreSQL", people / size, "bytes")
    rebuild = await timed(site, "rebuild")
    memory = await _valkey_bytes(site) - empty
    in_hash = f"{size / keys.BUCKETS:,.1f} members in a hash"
    yield _figure(f"bytes of each of {size:,} members in Valkey", memory / size, "bytes", note=in_hash)
    yield rebuild


async def _valkey_bytes(site: Site) -> int:
    async with Redis.from_url(site.env.settings.state_url) as valkey:
        return int((await valkey.info("memory"))["used_memory"])


async def record_read_s(site: Site, first: int, visits: int) -> float:
    """Read the gate's records of members of visits. Return Valkey's own mean time for one.

    Where a hash has many members, those who have not tapped for days are not known until their next tap.
    """
    ids = [member_id(PREFIX, spread_number(first + n, site.size)) for n in range(visits)]
    async with Redis.from_url(site.env.settings.state_url) as valkey:
        await valkey.config_resetstat()
        async with valkey.pipeline(transaction=False) as batch:
            for id_ in ids:
                batch.hget(keys.bucket(SCALE, id_), id_)
            records = await batch.execute()
        stats = await valkey.info("commandstats")
    known = sum(record is not None for record in records)
    assert known, "no member is known to the gate"
    site.env.report(f"scale, {site.size:,} members: {known / visits:.0%} of {visits:,} are known to the gate")
    return float(stats["cmdstat_hget"]["usec_per_call"]) / 1e6


async def timed(site: Site, *arguments: str) -> Figure:
    """Run a command of engage, and measure its time and memory."""
    command = f"`engage {' '.join(arguments)}` with {site.size:,} members"
    site.env.report(f"scale: {command}")
    done = await run_command(site.env, *arguments)
    return _figure(command, done.seconds, "s", note=done.memory)


def _figure(what: str, value: float, unit: str, *, note: str | None = None) -> Figure:
    return Figure(benchmark="scale", what=what, value=value, unit=unit, note=note)
