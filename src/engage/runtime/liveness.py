"""The signs of life of a process: a heartbeat that other processes read, and a file for its supervisor."""

from typing import Final, Never

from engage.runtime.background import Loops
from engage.runtime.services import Services
from engage.signals.topics import Topics

# The processes of an installation.
API: Final = "api"
FEED: Final = "feed"
WORKER: Final = "worker"

HEARTBEAT_S: Final = 2.0
TOUCH_S: Final = 1.0


async def beat(topics: Topics, loops: Loops, process: str) -> None:
    """Announce that this process is alive, with its loops that do not do their work. Raises Unavailable."""
    await topics.heartbeat(process, [problem.loop for problem in loops.problems()])


async def send_heartbeats(services: Services, process: str) -> Never:
    """Announce every HEARTBEAT_S that this process is alive."""
    await services.loops.repeat(
        "heartbeat", lambda: beat(services.topics, services.loops, process), every_s=HEARTBEAT_S, first=True
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
