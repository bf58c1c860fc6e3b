"""`lateness`: the delay from the due time of points until they are active, during a steady stream of taps."""

import asyncio

from sqlalchemy import text

from engage.bench.clients import feed_client, http_client
from engage.bench.clients.feed_client import (
    Activations,
    GetActivations,
    OpenSockets,
    RecordActivations,
    SocketCount,
)
from engage.bench.clients.http_client import SendAtRate, SignTokens, TokensSigned
from engage.bench.clients.load import LoadResult, request_load
from engage.bench.figures import Figure, percentile
from engage.bench.setup import processes
from engage.bench.setup.child_program import ChildProgram, child_program
from engage.bench.setup.constants import TAPS, member_id, raise_file_limit
from engage.bench.setup.environment import Environment
from engage.bench.setup.members import add_members, load_members, vacuum
from engage.bench.setup.queries import wait_until_zero
from engage.flows.programs.publish import publish
from engage.programs import text as preset_text
from engage.runtime.database import transaction
from engage.runtime.services import Services, open_services

PROGRAM = "bench"
PREFIX = "late-"
PRESET = "eu-mi-points/2022"
MAX_SECONDS = 1.0
CONNECTIONS = 256  # Many, because a tap that finds no free connection waits.
CONNECTED_MEMBERS = 500  # Members with an open websocket.
SETTLE_S = 60.0
POLL_S = 0.2

_LATENESS = text("""
SELECT EXTRACT(EPOCH FROM active_at - due_at) FROM credits
WHERE program_id = :program_id AND state = 'active'
""")

_PENDING = text("SELECT count(*) FROM credits WHERE program_id = :program_id AND state = 'pending'")

_DUE_TIMES = text("""
SELECT member_id, due_at FROM credits
WHERE program_id = :program_id AND member_id = ANY(CAST(:member_ids AS text[]))
""")


async def run(env: Environment) -> list[Figure]:
    raise_file_limit()
    async with open_services(env.settings) as services:
        program, _ = await publish(
            services.db,
            document(env.sizes.delay_s),
            source=PROGRAM,
            operator="bench",
            clock=services.clock,
        )
        await services.programs.refresh(services.db)
        count = env.sizes.rate * env.sizes.seconds
        env.report(f"lateness: adding {count:,} members")
        await add_members(services.db, program, PREFIX, count, now=services.clock.now())
        await load_members(services.gate, program, PREFIX, count, now=services.clock.now())
        await vacuum(services.db)
        async with (
            processes.running(processes.api(env), processes.feed(env), processes.worker(env)),
            child_program(http_client, env.folder.logs) as taps,
            child_program(feed_client, env.folder.logs) as sockets,
        ):
            result, activations = await _tap(env, services, taps, sockets, count)
        return await _figures(services, result, activations, count)


def document(delay_s: int) -> str:
    """Return a preset with a short delay, so that points of the first taps are due during later taps."""
    rules, _, _ = preset_text(PRESET).partition("[[examples]]")
    renamed = rules.replace('id = "eu-mi-points"', f'id = "{PROGRAM}"')
    return renamed.replace('delay = "PT5M"', f'delay = "PT{delay_s}S"')


async def _tap(
    env: Environment, services: Services, taps: ChildProgram, sockets: ChildProgram, count: int
) -> tuple[LoadResult, Activations]:
    secrets = str(env.folder.sandbox)
    env.report(f"lateness: signing {count:,} tokens")
    await taps.call(SignTokens(secrets, PROGRAM, PREFIX, count), TokensSigned)
    connected = min(CONNECTED_MEMBERS, count)
    await sockets.call(
        OpenSockets(env.settings.feed_port, PREFIX, connected, PROGRAM, secrets, every=count // connected),
        SocketCount,
    )
    await sockets.call(RecordActivations(), SocketCount)
    env.report(f"lateness: {env.sizes.rate:,} taps a second for {env.sizes.seconds} s")
    request = SendAtRate(env.settings.api_port, "POST", TAPS, PREFIX, count, CONNECTIONS, env.sizes.rate)
    result = await request_load(taps, request, {202: count})
    await wait_until_zero(services.db, _PENDING, limit_s=SETTLE_S, poll_s=POLL_S, program_id=PROGRAM)
    await asyncio.sleep(POLL_S)  # The last pushes may still be on their way.
    return result, await sockets.call(GetActivations(), Activations)


async def _figures(
    services: Services, result: LoadResult, activations: Activations, count: int
) -> list[Figure]:
    async with transaction(services.db) as conn:
        lateness = [float(row[0]) for row in await conn.execute(_LATENESS, {"program_id": PROGRAM})]
    assert len(lateness) == count, f"{count} taps made {len(lateness)} credits active"
    push_lateness = await _push_lateness(services, activations)
    p50_ms, p99_ms, max_ms = (seconds * 1000 for seconds in (result.p50_s, result.p99_s, result.max_s))
    return [
        Figure(
            benchmark="lateness",
            what="99 % of points are active within",
            value=percentile(lateness, 99),
            unit="s",
            at_most=MAX_SECONDS,
            note=f"{_summary(lateness)}, of {count:,}; after due",
        ),
        Figure(
            benchmark="lateness",
            what="the earliest is active after",
            value=min(lateness),
            unit="s",
            at_least=0.0,
            note="never before it is due",
        ),
        Figure(
            benchmark="lateness",
            what="99 % of screens show it within",
            value=percentile(push_lateness, 99),
            unit="s",
            note=f"{_summary(push_lateness)}, of {len(push_lateness)} websockets; after due",
        ),
        Figure(
            benchmark="lateness",
            what="99 % of taps are answered within",
            value=p99_ms,
            unit="ms",
            note=f"p50 {p50_ms:.1f}, at most {max_ms:.0f}; at {result.rate:,.0f}/s",
        ),
    ]


def _summary(seconds: list[float]) -> str:
    return f"p50 {percentile(seconds, 50):.3f}, at most {max(seconds):.3f}"


async def _push_lateness(services: Services, activations: Activations) -> list[float]:
    """Return the seconds from the due time until the client received the push."""
    received_at = {member_id(PREFIX, number): at for number, at in activations.first.items()}
    async with transaction(services.db) as conn:
        rows = await conn.execute(_DUE_TIMES, {"program_id": PROGRAM, "member_ids": list(received_at)})
        seconds = [(received_at[member] - due_at).total_seconds() for member, due_at in rows]
    assert seconds, "no client received an activation"
    return seconds
