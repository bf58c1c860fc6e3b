"""The signs of life of a process: a heartbeat that other processes read, and a file for its supervisor."""

from collections.abc import Collection
from functools import lru_cache
from importlib import metadata
from typing import Final, Never

from engage.clock import Clock
from engage.connections.schema_version import newest_version
from engage.live_settings import SECRETS_LOOP
from engage.runtime.background import Loops
from engage.runtime.services import Services
from engage.signals.topics import Topics

# The processes of an installation.
API: Final = "api"
FEED: Final = "feed"
WORKER: Final = "worker"

HEARTBEAT_S: Final = 2.0
TOUCH_S: Final = 1.0

# The machine's clock is off by more than a second: the process works, and its operator should know. Past a
# minute it does not work.
CLOCK_OFF: Final = "clock_off"
CLOCK_FAR_OFF: Final = "clock_far_off"


def problems_of(loops: Loops, clock: Clock) -> list[str]:
    """The names of loops that do not do their work, and what is wrong with the machine's clock."""
    problems = [problem.loop for problem in loops.problems()]
    if clock.is_too_far_off:
        problems.append(CLOCK_FAR_OFF)
    elif clock.is_reported:
        problems.append(CLOCK_OFF)
    return problems


@lru_cache
def release() -> str:
    """Name the release of this process: of the package, and of the tables that it works on."""
    return f"{metadata.version('engage')} (tables {newest_version()})"


def works(problems: Collection[str]) -> bool:
    """True if a process with these problems does its work."""
    # Where the file of a secret cannot be read, a process works with what it knows.
    return all(problem in (CLOCK_OFF, SECRETS_LOOP) for problem in problems)


async def beat(topics: Topics, loops: Loops, clock: Clock, process: str) -> None:
    """Announce that this process is alive, with its problems. Raises Unavailable."""
    await topics.heartbeat(process, problems_of(loops, clock), release=release())


async def send_heartbeats(services: Services, process: str) -> Never:
    """Announce every HEARTBEAT_S that this process is alive."""
    await services.loops.repeat(
        "heartbeat",
        lambda: beat(services.topics, services.loops, services.clock, process),
        every_s=HEARTBEAT_S,
        first=True,
    )


async def touch_liveness_file(services: Services) -> None:
    """Touch the file that the settings name, every second, unless a loop is stuck.

    A supervisor restarts a process whose file is old: its event loop does not turn.
    """
    path = services.settings.liveness_file
    if path is None:
        return

    async def touch() -> None:
        if not services.loops.are_stuck():
            path.touch()

    path.touch()
    await services.loops.repeat("liveness", touch, every_s=TOUCH_S)
