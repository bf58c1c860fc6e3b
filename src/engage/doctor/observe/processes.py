"""Observe the processes by the heartbeats that they leave in Valkey."""

import asyncio
from typing import Final, get_args

from engage.clock import MachineClock
from engage.connections.cluster import open_servers
from engage.doctor.observations import Process, ProcessesSeen, ProcessSeen
from engage.domain.refusals import Unavailable
from engage.flows.scheduled.due_work import DUE_WORK
from engage.settings import Settings
from engage.signals.topics import Topics

DEADLINE_S: Final = 5.0


async def observe_processes(settings: Settings) -> ProcessesSeen | None:
    """None where their Valkey does not answer."""
    if not settings.topics_url:
        return None
    # Heartbeats end by themselves; one by the machine's clock is good enough to see who is there.
    topics = Topics(open_servers(settings.topics_url), MachineClock())
    try:
        async with asyncio.timeout(DEADLINE_S):
            alive: dict[Process, list[ProcessSeen]] = {}
            for name in get_args(Process):
                found = await topics.read_heartbeats(name)
                alive[name] = [ProcessSeen(each.id, each.problems, each.release) for each in found]
            return ProcessesSeen(alive, await topics.not_done([work.name for work in DUE_WORK]))
    except (Unavailable, TimeoutError):
        return None
    finally:
        await topics.close()
