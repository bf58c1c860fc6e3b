"""`soak`: members, a shop and open sockets for an hour at half of the load that the machine can do.

What the machine can do is measured for long enough that points of that time become active meanwhile.
Every minute the soak reports latencies, errors, CPU time and memory. The first quarter of the time is
compared with the last: all should be flat. A soak of more members than an API keeps in memory begins when
those caches are full.
"""

from math import ceil
from statistics import mean
from typing import Final

from msgspec import Struct
from sqlalchemy import text

from engage.bench.benchmarks.soak_figures import MINUTE_S, QUARTERS, Minute, figures, line
from engage.bench.clients import app_client, http_client, visit_client
from engage.bench.clients.app_client import AppCount, OpenApps
from engage.bench.clients.http_client import SendAll, SignTokens, TokensSigned
from engage.bench.clients.load import request_load
from engage.bench.clients.visit_client import MakeVisits, VisitsMade
from engage.bench.figures import Figure
from engage.bench.setup import processes
from engage.bench.setup.agreement import apps_agree
from engage.bench.setup.child_program import ChildProgram, child_program
from engage.bench.setup.constants import COUNTRY, HOME, PRESET, PROGRAM, raise_file_limit
from engage.bench.setup.environment import Environment
from engage.bench.setup.members import add_members, vacuum
from engage.bench.setup.pace import pace_sampled
from engage.bench.setup.part_use import read_use
from engage.bench.setup.queries import wait_until_zero
from engage.bench.sizes import Sizes
from engage.embedded.supervisor import Supervisor
from engage.flows.operations.keys import create_key
from engage.programs import preset
from engage.runtime.member_cache import MEMBERS_CACHED
from engage.runtime.services import Services, open_services
from engage.tokens.verifier import TOKENS_CACHED

PREFIX: Final = "soak-01234567-0123-0123-0123-"
WARM: Final = "warmsoak-"
CACHED: Final = "cached-01234567-0123-0123-0123-"
MOST_CACHED: Final = max(MEMBERS_CACHED, TOKENS_CACHED)
AT_ONCE: Final = 20_000
MOST_VISITS: Final = 5_000  # A second, at most, of any machine.
FIRST_S: Final = 20.0
FULL_S: Final = 420.0  # Two minutes longer than points stay pending.
FASTER: Final = 1.5  # Than in the first seconds of full load, at most.
SETTLED_S: Final = 600.0
APPS_SHARE: Final = 10
SETUP_S: Final = 2_700.0

_OVERDUE: Final = text("""
SELECT EXISTS (SELECT FROM stored_credits WHERE state = 'pending' AND unit IS NULL AND due_at < :now)
    OR EXISTS (SELECT FROM stored_credits WHERE state = 'pending' AND unit IS NOT NULL AND due_at < :now)
""")


class Site(Struct, frozen=True):
    """The running system, with its clients."""

    env: Environment
    services: Services
    supervisor: Supervisor
    key: str
    visitors: ChildProgram
    apps: ChildProgram


def limit_s(sizes: Sizes) -> float:
    return SETUP_S + 1.5 * sizes.minutes * MINUTE_S


async def run(env: Environment) -> list[Figure]:
    raise_file_limit()
    async with open_services(env.settings, command_timeout_s=None) as services:
        key = await create_key(services.db, name="soak benchmark", scopes=["shop"], programs=None)
        specs = processes.api(env), processes.feed(env), processes.worker(env)
        async with (
            processes.running(*specs) as supervisor,
            child_program(visit_client, env.folder.logs) as visitors,
            child_program(app_client, env.folder.logs) as apps,
        ):
            site = Site(env, services, supervisor, key, visitors, apps)
            most = await _most_visits(site)
            rate = env.sizes.load * most
            members = ceil(rate * env.sizes.minutes * MINUTE_S)
            caches_are_full = members >= MOST_CACHED
            if caches_are_full:
                await _fill_caches(site)
            minutes = await _soak(site, rate)
            env.report("soak: comparing with the ledger")
            agreed = await apps_agree(services, apps, PROGRAM, PREFIX)
    return figures(most, minutes, agreed, caches_are_full=caches_are_full)


async def _most_visits(site: Site) -> float:
    """Return how many visits a second there are when each connection makes one after the other, and points
    of the visits before become active. Wait until all that are due are active.
    """
    full_s = min(site.env.sizes.minutes * MINUTE_S / QUARTERS, FULL_S)
    first_s = min(full_s / 4, FIRST_S)
    few = ceil(MOST_VISITS * first_s)
    await _add(site, WARM, few)
    made = await _at_full_load(site, 0, few, first_s)
    members = few + ceil(FASTER * full_s * made.visits / made.seconds)
    await _add(site, WARM, members, first=few)
    part_s, left_s, first = min(MINUTE_S, full_s / 4), full_s - first_s, made.visits
    while left_s > 0:
        made = await _at_full_load(site, first, members - first, part_s)
        first, left_s = first + made.visits, left_s - part_s
    now = site.services.clock.now()
    late_s = await wait_until_zero(site.services.db, _OVERDUE, limit_s=SETTLED_S, now=now)
    site.env.report(f"soak: all points that were due are active after {late_s:.1f} s")
    return made.visits / made.seconds


async def _at_full_load(site: Site, first: int, count: int, seconds: float) -> VisitsMade:
    made = await site.visitors.call(_visits(site, WARM, first, count, seconds, None), VisitsMade)
    site.env.report(f"soak: {made.visits / made.seconds:.0f} visits/s at full load for {made.seconds:.0f} s")
    return made


async def _fill_caches(site: Site) -> None:
    """Let as many other members open the app as the API keeps in memory."""
    env = site.env
    await _add(site, CACHED, MOST_CACHED)
    env.report(f"soak: {MOST_CACHED:,} members open the app")
    async with child_program(http_client, env.folder.logs) as client:
        await client.call(SignTokens(str(env.folder.sandbox), PROGRAM, CACHED, MOST_CACHED), TokensSigned)
        for first in range(0, MOST_CACHED, AT_ONCE):
            count = min(AT_ONCE, MOST_CACHED - first)
            request = SendAll(env.settings.api_port, "GET", HOME, CACHED, first, count, env.sizes.connections)
            await request_load(client, request, {200: count})


async def _soak(site: Site, rate: float) -> list[Minute]:
    seconds = site.env.sizes.minutes * MINUTE_S
    part_s = min(MINUTE_S, seconds / (2 * QUARTERS))
    each = ceil(rate * part_s)
    parts = ceil(seconds / part_s)
    await _add(site, PREFIX, each * parts)
    count = min(max(site.env.sizes.apps // APPS_SHARE, 1), each * parts)
    apps = OpenApps(
        site.env.settings.feed_port,
        PREFIX,
        count,
        PROGRAM,
        str(site.env.folder.sandbox),
        every=each * parts // count,
    )
    await site.apps.call(apps, AppCount)
    minutes = []
    use = await read_use(site.supervisor, site.env.settings.state_url)
    for number in range(parts):
        visits = _visits(site, PREFIX, number * each, each, 2 * part_s, rate)
        async with pace_sampled() as pace_s:
            made = await site.visitors.call(visits, VisitsMade)
        before, use = use, await read_use(site.supervisor, site.env.settings.state_url)
        minutes.append(Minute(made, use, use.cpu_s_since(before), mean(pace_s)))
        site.env.report(f"soak: part {number + 1} of {parts}: {line(minutes[-1])}")
    return minutes


async def _add(site: Site, prefix: str, count: int, first: int = 0) -> None:
    """Add members `<prefix><first>` to `<prefix><count - 1>`."""
    site.env.report(f"soak: adding {count - first:,} members")
    db, now = site.services.db, site.services.clock.now()
    await add_members(db, preset(PRESET), prefix, count, first=first, now=now)
    await vacuum(site.services.db)


def _visits(
    site: Site, prefix: str, first: int, count: int, seconds: float, rate: float | None
) -> MakeVisits:
    env = site.env
    return MakeVisits(
        port=env.settings.api_port,
        secrets=str(env.folder.sandbox),
        key=site.key,
        program_id=PROGRAM,
        currency=preset(PRESET).countries[COUNTRY].currency,
        prefix=prefix,
        first=first,
        count=count,
        seconds=seconds,
        connections=env.sizes.connections,
        rate=rate,
    )
