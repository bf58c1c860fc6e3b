"""Simulated members, who use an installation until they are stopped."""

import asyncio
from random import Random
from typing import Final

import httpx

from engage.torture.endpoints import Endpoints
from engage.torture.members.actor import Actor
from engage.torture.members.client import Client
from engage.torture.members.operators import Operators
from engage.torture.members.pace import Pace
from engage.torture.members.publish import publish_program, read_time
from engage.torture.members.sandbox_time import let_time_pass
from engage.torture.members.sockets import DELAY_S, Screen
from engage.torture.record import Record

ACTORS: Final = 12
REQUESTS_PER_S: Final = 25.0
# Patient clients have so long after the end to send again what was lost.
LAST_S: Final = 15.0
# Of each member, at the same time.
SCREENS: Final = 2


async def live(
    endpoints: Endpoints,
    seed: int,
    record: Record,
    stop: asyncio.Event,
    *,
    actors: int = ACTORS,
    requests_per_s: float = REQUESTS_PER_S,
) -> None:
    """Let members do everything there is until `stop` is set, and finish what they are at.

    Each draws from a chance of its own, so one seed makes the same members wish the same; the answers decide
    the rest.
    """
    pace = Pace(requests_per_s)
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=50)
    async with httpx.AsyncClient(limits=limits, timeout=None) as http:  # noqa: S113  # Client bounds each request.

        def client(actor: str) -> Client:
            return Client(http, endpoints, record, pace, chance(seed, f"{actor}/client"), actor)

        operator = client(f"{seed}-operator")
        await publish_program(operator)
        clock = await read_time(operator)
        codes: set[str] = set()
        screens: list[asyncio.Task[None]] = []
        end = asyncio.Event()

        def watch(of: Client) -> None:
            for number in range(SCREENS):
                rng = chance(seed, f"{of.member}/{number}")
                screen = Screen(endpoints, record, rng, of.member, of.token)
                screens.append(asyncio.create_task(screen.watch(end)))

        names = [f"{seed}-member-{number}" for number in range(actors)]
        tasks = [
            asyncio.create_task(let_time_pass(client(f"{seed}-clock"), clock, chance(seed, "clock"), stop)),
            asyncio.create_task(
                Operators(client(f"{seed}-operators"), clock, chance(seed, "operators"), f"c{seed}").act(stop)
            ),
            *(
                asyncio.create_task(Actor(client(name), clock, chance(seed, name), codes).act(stop, watch))
                for name in names
            ),
        ]
        try:
            await _finish(tasks, stop)
            await asyncio.sleep(DELAY_S + 1)  # The last changes are pushed.
        finally:
            end.set()
            for task in tasks:  # Those that are done do not mind.
                task.cancel()
            await asyncio.wait([*tasks, *screens])
        for screen in screens:
            screen.result()


def chance(seed: int, of: str) -> Random:
    """The chance that one actor draws from."""
    return Random(f"{seed}/{of}")  # noqa: S311  # What it decides can be repeated by its seed.


async def _finish(tasks: list[asyncio.Task[None]], stop: asyncio.Event) -> None:
    """Wait for the end, and a bounded time more. Raises if one of the tasks has failed."""
    end = asyncio.create_task(stop.wait())
    await asyncio.wait([*tasks, end], return_when=asyncio.FIRST_COMPLETED)
    end.cancel()
    _, late = await asyncio.wait(tasks, timeout=LAST_S)
    for task in late:
        task.cancel()
    results = await asyncio.gather(*tasks, end, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
