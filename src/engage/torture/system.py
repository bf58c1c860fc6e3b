"""A whole installation in a folder: two APIs, a feed, two workers, PostgreSQL and three Valkey servers.

Every connection of engage's processes leads through a proxy of its own for each pair of process and server,
so that a fault can break one of them. The processes are children of this program, which starts again whatever
ends, as a supervisor in production does.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import asyncpg
import msgspec
from redis.asyncio import Redis
from sqlalchemy import make_url

from engage import sandbox_secrets
from engage.embedded import ports, processes, run_file
from engage.embedded import postgres as pg
from engage.embedded import valkey as vk
from engage.embedded.child_process import POLL_S, ProcessSpec
from engage.embedded.data_folder import DataFolder
from engage.embedded.errors import ProcessFailed
from engage.embedded.installation import open_folder, settings_for
from engage.embedded.run_file import Run
from engage.embedded.supervisor import Supervisor, start_all
from engage.flows.operations.install import install
from engage.programs import DEMO_STORE, names
from engage.settings import Settings, to_environment
from engage.torture import faketime
from engage.torture.endpoints import Endpoints
from engage.torture.links import Links, open_links
from engage.torture.parts import APIS, FEED, POSTGRES, PROCESSES, QUEUE, STATE, TOPICS, VALKEYS
from engage.torture.proxy import HOST, Target

READY_S = 240.0
SERVER_S = 5.0

# Compiled files outlive the run, as those of an image do: compiling all imports takes longer than a start.
COMPILED = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(Path(sys.prefix) / "bytecode")}


class System:
    """A running installation. `settings` lead to its servers directly, past the proxies."""

    def __init__(
        self,
        folder: DataFolder,
        settings: Settings,
        supervisor: Supervisor,
        endpoints: Endpoints,
        links: Links,
    ) -> None:
        self.folder = folder
        self.settings = settings
        self.supervisor = supervisor
        self.endpoints = endpoints
        self.links = links

    def pid(self, name: str) -> int:
        """Return the pid of a process or server. It may have ended, to be started again in a moment."""
        return self.supervisor.pid(name)

    def valkey_url(self, name: str) -> str:
        """Return the URL of a Valkey server, past the proxies."""
        settings = self.settings
        return {
            STATE: settings.state_url,
            QUEUE: settings.queue_url,
            TOPICS: settings.topics_url,
        }[name]

    def valkey(self, name: str) -> Redis:
        """Return a client of a Valkey server, past the proxies."""
        client: Redis = Redis.from_url(
            self.valkey_url(name), socket_timeout=SERVER_S, socket_connect_timeout=SERVER_S
        )
        return client

    async def connect(self) -> asyncpg.Connection:
        """Connect to PostgreSQL, past the proxies."""
        url = self.settings.database_url.replace("+asyncpg", "")
        return await asyncpg.connect(url, timeout=SERVER_S, command_timeout=SERVER_S)

    def clock_file(self, process: str) -> Path:
        return clock_file(self.folder, process)


def _ignore(_line: str) -> None:
    pass


@asynccontextmanager
async def open_system(
    path: Path, *, has_clocks: bool = False, on_message: Callable[[str], None] = _ignore
) -> AsyncIterator[System]:
    """Run an installation in the folder at `path`, which is created, until the end of the block. With
    `has_clocks`, the clock of each of its machines can be set.

    Raises InstallationError.
    """
    async with AsyncExitStack() as opened:
        folder = await opened.enter_async_context(open_folder(path, on_message=on_message))
        postgres = await pg.prepare(folder, durable=False)
        valkeys = {
            name: vk.prepare(folder, durable=False, part=name.removeprefix("valkey-")) for name in VALKEYS
        }
        settings = _settings(folder, postgres, valkeys)

        def record() -> None:
            run = Run(
                environment=to_environment(settings),
                processes=supervisor.records(),
                scratch=postgres.scratch,
            )
            run_file.write(folder, run)

        supervisor = Supervisor(record, on_message)
        opened.push_async_callback(supervisor.stop)
        await _start_servers(supervisor, postgres, valkeys)
        targets = _targets(postgres, valkeys)
        watched = [link for link in targets if link.endswith(f"/{POSTGRES}")]
        links = await opened.enter_async_context(open_links(targets, watched))
        await install(settings)
        endpoints, specs = _processes(folder, settings, links, has_clocks=has_clocks)
        await start_all(*(_start(supervisor, spec) for spec in specs))
        await wait_until_ready(endpoints)
        yield System(folder, settings, supervisor, endpoints, links)


def _settings(folder: DataFolder, postgres: pg.Postgres, valkeys: dict[str, vk.Valkey]) -> Settings:
    feed_port = ports.free_port(HOST)
    return msgspec.structs.replace(
        settings_for(folder, postgres, valkeys[STATE]),
        queue_url=vk.url(valkeys[QUEUE], vk.QUEUE),
        topics_url=vk.url(valkeys[TOPICS], vk.STATE),
        feed_port=feed_port,
        feed_url=f"ws://{HOST}:{feed_port}/",
        log_level="warning",
    )


def _targets(postgres: pg.Postgres, valkeys: dict[str, vk.Valkey]) -> dict[str, Target]:
    servers: dict[str, Target] = {
        POSTGRES: f"{postgres.sockets}/.s.PGSQL.{pg.PORT}",
        **{name: valkey.port for name, valkey in valkeys.items()},
    }
    return {f"{process}/{server}": target for process in PROCESSES for server, target in servers.items()}


def clock_file(folder: DataFolder, process: str) -> Path:
    """Return the file by which libfaketime sets a process's clock. It is not on the installation's disk."""
    return folder.path.parent / f"clock-{process}"


def through(settings: Settings, process: str, links: Links) -> Settings:
    """Return the settings of a process whose connections all lead through its proxies."""
    url = make_url(settings.database_url)
    port = links.ports[f"{process}/{POSTGRES}"]

    def valkey_url(server: str, database: int) -> str:
        return f"redis://{HOST}:{links.ports[f'{process}/{server}']}/{database}"

    return msgspec.structs.replace(
        settings,
        database_url=f"postgresql+asyncpg://{url.username}@{HOST}:{port}/{url.database}",
        state_url=valkey_url(STATE, vk.STATE),
        queue_url=valkey_url(QUEUE, vk.QUEUE),
        topics_url=valkey_url(TOPICS, vk.STATE),
    )


def _processes(
    folder: DataFolder, settings: Settings, links: Links, *, has_clocks: bool
) -> tuple[Endpoints, list[ProcessSpec]]:
    specs, apis = [], []
    for name in PROCESSES:
        own = msgspec.structs.replace(through(settings, name, links), operations_port=ports.free_port(HOST))
        if name in APIS:
            own = msgspec.structs.replace(own, api_port=ports.free_port(HOST))
            apis.append(f"http://{HOST}:{own.api_port}")
            spec = processes.api(folder, own)
        else:
            spec = processes.feed(folder, own) if name == FEED else processes.worker(folder, own)
        environment = {**spec.environment, **COMPILED}
        if has_clocks:
            environment |= faketime.environment(clock_file(folder, name))
        log = folder.logs / f"{name}.log"
        specs.append(msgspec.structs.replace(spec, name=name, log=log, environment=environment))
    secrets = sandbox_secrets.read(folder.sandbox)
    programs = [name.split("/")[0] for name in names()]
    endpoints = Endpoints(
        apis=tuple(apis),
        feed_url=settings.feed_url,
        shop_key=secrets.shop_key,
        admin_key=secrets.admin_key,
        approver_key=secrets.approver_key,
        database_url=settings.database_url,
        programs=tuple(dict.fromkeys([*programs, DEMO_STORE])),
        environment=to_environment(settings),
    )
    return endpoints, specs


async def _start(supervisor: Supervisor, spec: ProcessSpec) -> None:
    await supervisor.start(spec)


async def _start_servers(
    supervisor: Supervisor, postgres: pg.Postgres, valkeys: dict[str, vk.Valkey]
) -> None:
    async def start_postgres() -> None:
        await supervisor.start(msgspec.structs.replace(postgres.process, name=POSTGRES))
        await pg.ensure_database(postgres)

    starts = [_start(supervisor, valkey.process) for valkey in valkeys.values()]
    await start_all(start_postgres(), *starts)


async def wait_until_ready(endpoints: Endpoints) -> None:
    """Raises ProcessFailed if not all parts are up in time, or one answers with another 5xx than 503."""
    deadline = asyncio.get_running_loop().time() + READY_S
    for api in endpoints.apis:
        while (answer := await ready(api))[0] != 200:
            is_failure = answer[0] >= 500 and answer[0] != 503
            if is_failure or asyncio.get_running_loop().time() > deadline:
                raise ProcessFailed(f"{api} is not ready: {answer[0]} {answer[1]}")
            await asyncio.sleep(POLL_S)


async def ready(api: str) -> tuple[int, str]:
    """Return the status of the readiness of an API, 0 without an answer, and the body unless it is 200."""
    host, port = api.removeprefix("http://").split(":")
    return await processes.get_from(host, int(port), "/health/ready")
