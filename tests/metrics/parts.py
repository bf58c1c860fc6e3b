"""Parts of engage as processes with an operations port, and the numbers that they show."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families as parse

from engage.embedded.child_process import ProcessSpec, engage_command, start
from engage.settings import Settings, to_environment
from tests.support.eventually import WITHIN_S
from tests.support.ports import server_port

HOST = "127.0.0.1"

Numbers = dict[tuple[str, frozenset[str]], float]


class Part:
    """A running part. Its numbers are by name and the values of their labels."""

    def __init__(self, settings: Settings, pid: int) -> None:
        self.settings = settings
        self.pid = pid
        self.url = f"http://{HOST}:{settings.operations_port}"

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(timeout=WITHIN_S) as client:
            return await client.get(self.url + path)

    async def numbers(self) -> Numbers:
        text = (await self.get("/metrics")).raise_for_status().text
        return {
            (sample.name, frozenset(sample.labels.values())): sample.value
            for family in parse(text)
            for sample in family.samples
        }

    async def number(self, name: str, *labels: str) -> float:
        """Return a number; 0 where there is none."""
        return (await self.numbers()).get((name, frozenset(labels)), 0.0)


@asynccontextmanager
async def part(
    name: str, settings: Settings, folder: Path, *, path: str = "/health/ready"
) -> AsyncIterator[Part]:
    """Run `engage <name>` until the block ends. It has begun when it answers 200 at `path`."""
    settings = replace(settings, operations_port=server_port())

    async def is_ready() -> bool:
        try:
            return (await running.get(path)).status_code == 200
        except httpx.TransportError:
            return False

    spec = ProcessSpec(
        name=name,
        command=engage_command(name),
        log=folder / f"{name}.log",
        directory=folder,
        environment=to_environment(settings),
        ready=is_ready,
    )
    child = await start(spec)
    running = Part(settings, child.pid)
    try:
        await child.wait_until_ready()
        yield running
    finally:
        await child.stop()
