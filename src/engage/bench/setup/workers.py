"""Workers of a benchmark: several of them, numbered, and waited for."""

import asyncio

import msgspec

from engage.bench.setup.environment import Ground
from engage.embedded import processes
from engage.embedded.child_process import ProcessSpec
from engage.runtime.services import Services

START_S = 30.0
LOOK_S = 0.05


def crew(ground: Ground) -> list[ProcessSpec]:
    """As many workers as the sizes say, each with a log of its own."""
    part = processes.worker(ground.folder, ground.settings)
    names = [f"{part.name}-{number + 1}" for number in range(ground.sizes.workers)]
    return [
        msgspec.structs.replace(part, name=name, log=ground.folder.logs / f"{name}.log") for name in names
    ]


async def until_alive(services: Services, count: int) -> None:
    async with asyncio.timeout(START_S):
        while await services.doorbell.count_workers() < count:  # noqa: ASYNC110 — They are other processes.
            await asyncio.sleep(LOOK_S)
