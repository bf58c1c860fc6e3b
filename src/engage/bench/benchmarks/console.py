"""`console`: every page of the console, over HTTP from a real API, with very many members."""

import time
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode

import httpx

from engage.bench.errors import BenchmarkFailed
from engage.bench.figures import Figure, median, percentile
from engage.bench.setup import processes
from engage.bench.setup.console_members import add_population
from engage.bench.setup.console_pages import ADDRESSES, Address, addresses, routes
from engage.bench.setup.console_program import add_campaigns, add_rest
from engage.bench.setup.constants import HOST
from engage.bench.setup.engaged_program import publish_engaged
from engage.bench.setup.environment import Environment
from engage.bench.setup.members import vacuum
from engage.bench.setup.statement_log import StatementLog, Statements, statement_log
from engage.flows.operators.accounts import create_operator
from engage.runtime.services import Services, open_services

MAX_MS: Final = 100.0
REQUEST_S: Final = 90.0
LONGEST_S: Final = 8.0  # Of one page: of one that takes seconds there are fewer requests.
WARM_UP: Final = 3

# As many campaigns as `campaigns` run, are over, and are to come.
CAMPAIGNS: Final = 3

_EMAIL: Final = "bench@shop.example"
_PASSWORD: Final = "correct horse battery"  # noqa: S105  # Of a database that is removed.
_SIGN_IN: Final = "/console/sign-in"

# An address that no page has.
_NOTHING: Final = "/console/{rest:path}"


async def run(env: Environment) -> list[Figure]:
    missing = routes(env.settings) ^ set(ADDRESSES)
    if missing:
        raise BenchmarkFailed(f"no address, or no page, for {', '.join(sorted(missing))}")
    async with open_services(env.settings, command_timeout_s=None) as services:
        await services.programs.refresh(services.db)
        await populate(env, services)
        async with processes.running(processes.api(env)):
            return await measure(env, services)


async def populate(env: Environment, services: Services) -> None:
    """Add everything that the pages show."""
    members, campaigns = env.sizes.members, env.sizes.campaigns * CAMPAIGNS
    program = await publish_engaged(services)
    env.report(f"console: adding {campaigns:,} campaigns")
    await add_campaigns(services, program, campaigns)
    env.report(f"console: adding {members:,} members")
    await add_population(services, program, members, campaigns=campaigns)
    env.report("console: adding segments, draws and the audit log")
    await add_rest(services, program, members, campaigns=campaigns)
    made = await create_operator(services.db, _EMAIL, "admin", None, by="bench", password=_PASSWORD)
    assert made == _PASSWORD, made
    await vacuum(services.db)


async def measure(env: Environment, services: Services) -> list[Figure]:
    """Open each page again and again, one after the other, and then once more with the statements logged."""
    found = await addresses(services.db, services.clock.now())
    base = f"http://{HOST}:{env.settings.api_port}"
    async with httpx.AsyncClient(base_url=base, timeout=REQUEST_S) as client:
        client.headers["cookie"] = await _sign_in(client)
        times = {each.path: await _time(env, client, each) for each in found}
        async with statement_log(services.db, env.folder.logs / "postgres.log") as log:
            for each in found[:WARM_UP]:
                await _get(client, each)
            statements = {each.path: await _count(client, each, log) for each in found}
    return [_figure(each, times[each.path], statements[each.path]) for each in found]


async def _sign_in(client: httpx.AsyncClient) -> str:
    """The cookie of a new session. It is for TLS alone, so the client would not send it by itself."""
    form = urlencode({"email": _EMAIL, "password": _PASSWORD})
    answer = await client.post(
        _SIGN_IN, content=form, headers={"content-type": "application/x-www-form-urlencoded"}
    )
    if answer.status_code != 303:
        raise BenchmarkFailed(f"signing in was answered with {answer.status_code}")
    return answer.headers["set-cookie"].partition(";")[0]


async def _time(env: Environment, client: httpx.AsyncClient, address: Address) -> list[float]:
    """The milliseconds of each request, from the first byte of it to the last one of the answer."""
    env.report(f"console: {address.path}")
    for _ in range(WARM_UP):
        began = time.perf_counter()
        await _get(client, address)
        if time.perf_counter() - began > LONGEST_S / WARM_UP:
            break
    times: list[float] = []
    started = time.perf_counter()
    while len(times) < env.sizes.pages and (not times or time.perf_counter() - started < LONGEST_S):
        began = time.perf_counter()
        await _get(client, address)
        times.append((time.perf_counter() - began) * 1_000)
    return times


async def _count(client: httpx.AsyncClient, address: Address, log: StatementLog) -> Statements:
    log.read()
    await _get(client, address)
    return log.read()


async def _get(client: httpx.AsyncClient, address: Address) -> None:
    """Raises BenchmarkFailed for another answer than the page."""
    headers = {"cookie": ""} if address.route == _SIGN_IN else {}
    answer = await client.get(address.path, headers=headers)
    expected = (404,) if address.route == _NOTHING else (200, 303)  # A member who is found is opened.
    if answer.status_code not in expected or answer.headers.get("location", "").startswith(_SIGN_IN):
        raise BenchmarkFailed(f"{address.path} was answered with {answer.status_code}")


def _figure(address: Address, times: Sequence[float], statements: Statements) -> Figure:
    return Figure(
        benchmark="console",
        what=address.path,
        value=median(times),
        unit="ms",
        at_most=MAX_MS,
        note=f"p95 {percentile(times, 95):.1f} ms of {len(times)}; {statements.count} statements, "
        f"the slowest {statements.slowest_ms:.1f} ms",
    )
