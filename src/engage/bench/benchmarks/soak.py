"""`soak`: members, a shop and open sockets for an hour at half of the load that the machine can do.

Every minute it reports latencies, errors and memory. The first quarter of the time is compared with the last:
both should be flat. A soak of more members than an API keeps in memory begins when those caches are full.
"""

from collections.abc import Iterator, Sequence
from math import ceil
from typing import Final

import psutil
from msgspec import Struct
from redis.asyncio import Redis

from engage.bench.clients import app_client, http_client, visit_client
from engage.bench.clients.app_client import AppCount, OpenApps
from engage.bench.clients.http_client import SendAll, SignTokens, TokensSigned
from engage.bench.clients.load import request_load
from engage.bench.clients.visit_client import MakeVisits, VisitsMade
from engage.bench.figures import Figure, median
from engage.bench.setup import processes
from engage.bench.setup.agreement import Agreed, apps_agree
from engage.bench.setup.child_program import ChildProgram, child_program
from engage.bench.setup.commands import MIB, postgres_mib
from engage.bench.setup.constants import COUNTRY, HOME, PRESET, PROGRAM, raise_file_limit
from engage.bench.setup.environment import Environment
from engage.bench.setup.members import add_members, vacuum
from engage.bench.sizes import Sizes
from engage.embedded.supervisor import Supervisor
from engage.flows.operations.keys import create_key
from engage.programs import preset
from engage.runtime.member_cache import MEMBERS_CACHED
from engage.runtime.services import Services, open_services
from engage.tokens.verifier import TOKENS_CACHED

MOST_P50: Final = 1.2
MOST_P99: Final = 1.5
MOST_MEMORY: Final = 1.1
PREFIX: Final = "soak-01234567-0123-0123-0123-"
WARM: Final = "warmsoak-"
CACHED: Final = "cached-01234567-0123-0123-0123-"
MOST_CACHED: Final = max(MEMBERS_CACHED, TOKENS_CACHED)
AT_ONCE: Final = 20_000
MOST_VISITS: Final = 5_000  # A second, at most, of any machine.
MOST_WARM_S: Final = 20.0
MINUTE_S: Final = 60.0
QUARTERS: Final = 4
APPS_SHARE: Final = 10
SETUP_S: Final = 1_800.0
PARTS: Final = ("api", "feed", "worker")


class Site(Struct, frozen=True):
    """The running system, with its clients."""

    env: Environment
    services: Services
    supervisor: Supervisor
    key: str
    visitors: ChildProgram
    apps: ChildProgram


class Minute(Struct, frozen=True):
    """Figures in a minute, or in a shorter part of a short soak."""

    visits: VisitsMade
    mib: dict[str, float]


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
    return _figures(most, minutes, agreed, caches_are_full=caches_are_full)


async def _most_visits(site: Site) -> float:
    """Return how many visits a second there are when each connection makes one after the other."""
    warm_s = min(site.env.sizes.minutes * MINUTE_S / QUARTERS, MOST_WARM_S)
    members = ceil(MOST_VISITS * warm_s)
    await _add(site, WARM, members)
    site.env.report(f"soak: {warm_s:.0f} s at full load")
    made = await site.visitors.call(_visits(site, WARM, 0, members, warm_s, None), VisitsMade)
    return made.visits / made.seconds


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
    for number in range(parts):
        visits = _visits(site, PREFIX, number * each, each, 2 * part_s, rate)
        made = await site.visitors.call(visits, VisitsMade)
        minutes.append(Minute(made, await _memory(site)))
        site.env.report(f"soak: part {number + 1} of {parts}: {_line(minutes[-1])}")
    return minutes


async def _add(site: Site, prefix: str, count: int) -> None:
    site.env.report(f"soak: adding {count:,} members")
    await add_members(site.services.db, preset(PRESET), prefix, count, now=site.services.clock.now())
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


async def _memory(site: Site) -> dict[str, float]:
    """Read the resident memory of each part, and PostgreSQL's without what its processes share."""
    mib = {part: psutil.Process(site.supervisor.pid(part)).memory_info().rss / MIB for part in PARTS}
    async with Redis.from_url(site.env.settings.state_url) as valkey:
        mib["valkey"] = int((await valkey.info("memory"))["used_memory_rss"]) / MIB
    return mib | {"postgres": postgres_mib()}


def _line(minute: Minute) -> str:
    made = minute.visits
    latencies = ", ".join(
        f"{kind} {each.p50_s * 1000:.1f}/{each.p99_s * 1000:.0f} ms" for kind, each in made.latencies.items()
    )
    memory = ", ".join(f"{part} {mib:.0f}" for part, mib in minute.mib.items())
    unexpected = f"; unexpected {made.unexpected}" if made.unexpected else ""
    return f"{made.visits / made.seconds:.0f} visits/s, {latencies}; MiB: {memory}{unexpected}"


def _figures(
    most: float, minutes: Sequence[Minute], agreed: Agreed, *, caches_are_full: bool
) -> list[Figure]:
    visits = sum(minute.visits.visits for minute in minutes)
    seconds = sum(minute.visits.seconds for minute in minutes)
    return [
        Figure(
            benchmark="soak",
            what=f"visits a second, in {seconds / MINUTE_S:.1f} minutes: home screen, tap, home screen",
            value=visits / seconds,
            unit="visits/s",
            over=f"at full load: {most:,.0f}/s",
            ratio=visits / seconds / most,
        ),
        _answered(minutes),
        *_latencies(minutes),
        *_memories(minutes, caches_are_full=caches_are_full),
        Figure(
            benchmark="soak",
            what="apps that show the balance and seq of the ledger in the end",
            value=agreed.apps,
            unit="apps",
            note=f"{agreed.lost:,} connections were lost, and opened again",
        ),
    ]


def _answered(minutes: Sequence[Minute]) -> Figure:
    requests = sum(each.requests for minute in minutes for each in minute.visits.latencies.values())
    unexpected: dict[str, int] = {}
    for minute in minutes:
        for what, count in minute.visits.unexpected.items():
            unexpected[what] = unexpected.get(what, 0) + count
    return Figure(
        benchmark="soak",
        what=f"of {requests:,} requests, those answered as they should be",
        value=100 * (1 - sum(unexpected.values()) / requests),
        unit="%",
        at_least=100,
        note=", ".join(f"{count} {what}" for what, count in unexpected.items()) or None,
    )


def _latencies(minutes: Sequence[Minute]) -> Iterator[Figure]:
    for kind in (visit_client.HOME_FIRST, visit_client.TAP, visit_client.HOME_AGAIN, visit_client.ORDERS):
        measured = [each for minute in minutes if (each := minute.visits.latencies.get(kind))]
        if measured:
            yield _flat(f"p50 of a {kind}", [each.p50_s * 1000 for each in measured], "ms", MOST_P50)
            yield _flat(f"p99 of a {kind}", [each.p99_s * 1000 for each in measured], "ms", MOST_P99)


def _memories(minutes: Sequence[Minute], *, caches_are_full: bool) -> Iterator[Figure]:
    for part in minutes[0].mib:
        # The servers keep what they are given: their memory grows with the members and the credits. So does
        # that of an API until it has as many members as it keeps.
        is_bounded = part in PARTS and (part != "api" or caches_are_full)
        at_most = MOST_MEMORY if is_bounded else None
        yield _flat(f"memory: {part}", [minute.mib[part] for minute in minutes], "MiB", at_most)


def _flat(what: str, values: Sequence[float], unit: str, at_most: float | None) -> Figure:
    """Compare the last quarter with the first."""
    size = max(len(values) // QUARTERS, 1)
    first, last = median(values[:size]), median(values[-size:])
    return Figure(
        benchmark="soak",
        what=f"{what}, last quarter",
        value=last,
        unit=unit,
        over=f"first quarter: {first:,.3g} {unit}",
        ratio=last / first,
        at_most=at_most,
        note=f"at most {max(values):,.3g}",
    )
