"""The processes of a benchmark: those of engage, several workers, and Litestar servers as baselines."""

import asyncio
import sys
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import msgspec

from engage.bench.errors import BenchmarkFailed
from engage.bench.setup.constants import HOST
from engage.bench.setup.environment import Environment
from engage.embedded import ports, processes
from engage.embedded.child_process import ProcessSpec, tail
from engage.embedded.supervisor import Supervisor, start_all
from engage.runtime.services import Services
from engage.settings import to_environment

WORKERS_START_S = 30.0
POLL_S = 0.05


def api(env: Environment) -> ProcessSpec:
    return processes.api(env.folder, env.settings)


def feed(env: Environment) -> ProcessSpec:
    return processes.feed(env.folder, env.settings)


def worker(env: Environment) -> ProcessSpec:
    return processes.worker(env.folder, env.settings)


def workers(env: Environment) -> list[ProcessSpec]:
    """Return as many workers as the sizes say, each with its log file and its operations port."""
    return [_numbered_worker(env, number + 1) for number in range(env.sizes.workers)]


def _numbered_worker(env: Environment, number: int) -> ProcessSpec:
    settings = msgspec.structs.replace(env.settings, operations_port=ports.free_port(HOST))
    spec = processes.worker(env.folder, settings)
    name = f"{spec.name}-{number}"
    return msgspec.structs.replace(spec, name=name, log=env.folder.logs / f"{name}.log")


def baseline(env: Environment, module: str, port: int) -> ProcessSpec:
    """Return a Litestar server of `engage.bench.baselines`. It is ready when it answers any request."""
    settings = msgspec.structs.replace(env.settings, api_port=port)

    async def ready() -> bool:
        status, _ = await processes.get(settings, "/")
        return status != 0

    return ProcessSpec(
        name=module,
        command=[sys.executable, "-P", "-m", f"engage.bench.baselines.{module}"],
        log=env.folder.logs / f"{module}.log",
        directory=env.folder.path,
        environment=to_environment(settings),
        ready=ready,
    )


@asynccontextmanager
async def running(*specs: ProcessSpec, may_end: Collection[str] = ()) -> AsyncIterator[Supervisor]:
    """Run processes while the context is open. Raises ProcessFailed, and BenchmarkFailed if one ended that is
    not among those which `may_end`. Each that ended is started again.
    """
    supervisor = Supervisor()

    async def start(spec: ProcessSpec) -> None:
        await supervisor.start(spec)

    try:
        await start_all(*(start(spec) for spec in specs))
        yield supervisor
        for spec in specs:
            if supervisor.exit_count(spec.name) and spec.name not in may_end:
                raise BenchmarkFailed(
                    f"{spec.name} ended during the measurement{tail(supervisor.child(spec.name))}"
                )
    finally:
        await supervisor.stop()


async def wait_for_workers(services: Services, count: int) -> None:
    """Raises TimeoutError."""
    async with asyncio.timeout(WORKERS_START_S):
        while len(await services.topics.read_heartbeats("worker")) < count:  # noqa: ASYNC110 — Other processes.
            await asyncio.sleep(POLL_S)
