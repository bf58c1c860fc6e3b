"""`lateness`: how long after their due time points become active, under a steady stream of taps."""

import asyncio

from sqlalchemy import text

from engage.bench.clients.feed_client import Heard, Listen, Noted, Open, Opened
from engage.bench.clients.http_client import Load, Sign, Signed, Stream
from engage.bench.errors import BenchmarkFailed
from engage.bench.figures import Figure, percentile
from engage.bench.setup import members as crowd
from engage.bench.setup.child_program import Hand, hand
from engage.bench.setup.constants import many_files, member_id
from engage.bench.setup.environment import Ground, running
from engage.embedded import processes
from engage.flows.programs.publish import publish
from engage.programs import text as preset_text
from engage.runtime.database import transaction
from engage.runtime.services import Services, open_services

PROGRAM = "bench"
PREFIX = "late-"
PRESET = "eu-mi-points/2022"
MOST_S = 1.0
CONNECTIONS = 256  # A tap that finds none free waits for one, so there are many.
WATCHED = 500  # Members who have the app open.
DONE_S = 60.0
LOOK_S = 0.2

_LATENESS = text("""
SELECT EXTRACT(EPOCH FROM active_at - due_at) FROM credits
WHERE program_id = :program_id AND state = 'active'
""")

_LEFT = text("SELECT count(*) FROM credits WHERE program_id = :program_id AND state = 'pending'")

_DUE = text("""
SELECT member_id, due_at FROM credits
WHERE program_id = :program_id AND member_id = ANY(CAST(:member_ids AS text[]))
""")


async def run(ground: Ground) -> list[Figure]:
    many_files()
    async with open_services(ground.settings) as services:
        program, _ = await publish(
            services.db, document(ground.sizes.delay_s), source=PROGRAM, now=services.clock.now()
        )
        await services.programs.refresh(services.db)
        count = ground.sizes.rate * ground.sizes.seconds
        ground.say(f"lateness: adding {count:,} members")
        await crowd.add_members(services.db, program, PREFIX, count, now=services.clock.now())
        await crowd.introduce(services, program, PREFIX, count, now=services.clock.now())
        await crowd.tidy(services.db)
        engage = (
            make(ground.folder, ground.settings) for make in (processes.api, processes.feed, processes.worker)
        )
        logs = ground.folder.logs
        async with (
            running(*engage),
            hand("engage.bench.clients.http_client", logs) as load,
            hand("engage.bench.clients.feed_client", logs) as clients,
        ):
            streamed, noted = await _stream(ground, services, load, clients, count)
        return await _figures(services, streamed, noted, count)


def document(delay_s: int) -> str:
    """The European program with a delay so short that points of the first taps fall due amid the others."""
    rules, _, _ = preset_text(PRESET).partition("[[examples]]")
    named = rules.replace('id = "eu-mi-points"', f'id = "{PROGRAM}"')
    return named.replace('delay = "PT5M"', f'delay = "PT{delay_s}S"')


async def _stream(
    ground: Ground, services: Services, load: Hand, clients: Hand, count: int
) -> tuple[Load, Noted]:
    secrets = str(ground.folder.sandbox)
    ground.say(f"lateness: signing {count:,} tokens")
    await load.ask(Sign(secrets, PROGRAM, PREFIX, count), Signed)
    watched = min(WATCHED, count)
    await clients.ask(
        Open(ground.settings.feed_port, PREFIX, watched, PROGRAM, secrets, every=count // watched), Opened
    )
    await clients.ask(Listen(), Opened)
    ground.say(f"lateness: {ground.sizes.rate:,} taps a second for {ground.sizes.seconds} s")
    order = Stream(
        ground.settings.api_port, "POST", "/v1/fuel/taps", PREFIX, count, CONNECTIONS, ground.sizes.rate
    )
    streamed = await load.ask(order, Load)
    if streamed.statuses != {202: count}:
        raise BenchmarkFailed(f"taps were answered {streamed.statuses}, expected {count} times 202")
    await _until_active(services)
    await asyncio.sleep(LOOK_S)  # The last ones are on their way to the clients.
    return streamed, await clients.ask(Heard(), Noted)


async def _until_active(services: Services) -> None:
    async with asyncio.timeout(DONE_S):
        while True:
            async with transaction(services.db) as conn:
                if not (await conn.execute(_LEFT, {"program_id": PROGRAM})).scalar_one():
                    return
            await asyncio.sleep(LOOK_S)


async def _figures(services: Services, streamed: Load, noted: Noted, count: int) -> list[Figure]:
    async with transaction(services.db) as conn:
        late = [float(row[0]) for row in await conn.execute(_LATENESS, {"program_id": PROGRAM})]
    assert len(late) == count, f"{count} taps made {len(late)} credits active"
    heard = await _heard_late(services, noted)
    tap_ms = [seconds * 1000 for seconds in (streamed.p50_s, streamed.p99_s, streamed.max_s)]
    return [
        Figure(
            benchmark="lateness",
            what="99 % of points are active within",
            value=percentile(late, 99),
            unit="s",
            at_most=MOST_S,
            note=f"{_of(late)}, of {count:,}; after due",
        ),
        Figure(
            benchmark="lateness",
            what="the earliest is active after",
            value=min(late),
            unit="s",
            at_least=0.0,
            note="never before it is due",
        ),
        Figure(
            benchmark="lateness",
            what="99 % of screens show it within",
            value=percentile(heard, 99),
            unit="s",
            note=f"{_of(heard)}, of {len(heard)} websockets; after due",
        ),
        Figure(
            benchmark="lateness",
            what="99 % of taps are answered within",
            value=tap_ms[1],
            unit="ms",
            note=f"p50 {tap_ms[0]:.1f}, at most {tap_ms[2]:.0f}; at {streamed.rate:,.0f}/s",
        ),
    ]


def _of(seconds: list[float]) -> str:
    return f"p50 {percentile(seconds, 50):.3f}, at most {max(seconds):.3f}"


async def _heard_late(services: Services, noted: Noted) -> list[float]:
    """Seconds from the due time until a client had the push."""
    heard_at = {member_id(PREFIX, number): at for number, at in noted.first_heard.items()}
    async with transaction(services.db) as conn:
        rows = await conn.execute(_DUE, {"program_id": PROGRAM, "member_ids": list(heard_at)})
        found = [(heard_at[member] - due_at).total_seconds() for member, due_at in rows]
    assert found, "no client heard of active points"
    return found
