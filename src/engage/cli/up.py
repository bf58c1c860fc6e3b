"""`engage up`: a whole installation on this machine, kept running until it is told to stop."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import msgspec
import rich_click as click

from engage.cli.screen import Screen
from engage.domain.refusals import Refusal
from engage.embedded import bytecode, ports, processes
from engage.embedded.child_process import POLL_S, ProcessSpec, tail
from engage.embedded.data_folder import DEFAULT_FOLDER, DataFolder
from engage.embedded.errors import InstallationError, ProcessFailed
from engage.embedded.installation import open_folder, open_servers
from engage.embedded.supervisor import Supervisor, start_all
from engage.settings import Settings

READY_S = 60.0
ENDS_AT_MOST = 3  # A part that ends this often before all are ready will not come up.
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Place(msgspec.Struct, frozen=True):
    """Where it is to run."""

    path: Path
    host: str
    port: int


@click.command
@click.option(
    "--data",
    type=click.Path(path_type=Path, readable=False),
    default=DEFAULT_FOLDER,
    show_default=True,
    help="The installation's folder, made if there is none.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65_535),
    default=8080,
    show_default=True,
    help="Of the API and the pages.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
def up(data: Path, port: int, host: str) -> None:
    """Run everything on this machine: PostgreSQL, Valkey, the API, the feed and a worker, as a sandbox.

    Ctrl-C stops it. The folder keeps everything for the next time.
    """
    asyncio.run(run_until_told(Place(data, host, port), Screen()))


async def run_until_told(place: Place, screen: Screen) -> None:
    """Returns when a signal has ended it, with nothing left running. Raises InstallationError."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _endings():
        loop.add_signal_handler(number, told.set)
    serving = asyncio.create_task(_serve(place, screen))
    waiting = asyncio.create_task(told.wait())
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not serving.done():
        screen.say("stopping …", style="dim")
        serving.cancel()
    try:
        await serving
    except asyncio.CancelledError:
        screen.say("stopped; nothing is left running", style="dim")


def _endings() -> list[signal.Signals]:
    """The closing of the terminal is one, unless nohup says otherwise."""
    hangs_up = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hangs_up else [])]


async def _serve(place: Place, screen: Screen) -> None:
    async with open_folder(place.path, on_message=screen.say) as folder:
        adjust = _addresses(place)
        if place.host not in LOOPBACK:
            screen.say(f"the sandbox gives its keys to everyone who can reach {place.host}")
        screen.begin("starting PostgreSQL and Valkey")
        try:
            async with open_servers(
                folder, adjust=adjust, on_message=screen.say, on_ready=screen.came_up
            ) as servers:
                bytecode.enable(folder)
                await _install(servers.settings, screen)
                await _start_parts(folder, servers.settings, servers.supervisor, screen)
                screen.end()
                _show_places(folder, servers.settings, screen)
                await asyncio.Event().wait()
        finally:
            screen.end()


def _addresses(place: Place) -> Callable[[Settings], Settings]:
    """Raises InstallationError where the port is taken. The feed takes the next port, or any."""
    why = ports.listen_error(place.host, place.port)
    if why is not None:
        raise InstallationError(f"cannot listen on {place.host} port {place.port}: {why}; try another --port")
    feed_port = place.port + 1
    if feed_port > 65_535 or ports.listen_error(place.host, feed_port) is not None:
        feed_port = ports.free_port(place.host)

    def adjust(settings: Settings) -> Settings:
        return msgspec.structs.replace(
            settings,
            api_host=place.host,
            api_port=place.port,
            feed_host=place.host,
            feed_port=feed_port,
            feed_url=f"ws://{_in_url(place.host)}:{feed_port}/",
        )

    return adjust


async def _install(settings: Settings, screen: Screen) -> None:
    screen.begin("bringing tables and programs up to date")
    loop = asyncio.get_running_loop()
    began = loop.time()
    from engage.flows.operations.install import install  # Late, because it brings half of engage with it.

    try:
        await install(settings)
    except Refusal as refusal:
        facts = ", ".join(f"{name} {value}" for name, value in refusal.facts.items())
        raise InstallationError(
            f"the folder's programs are in the way: {refusal.code} ({facts})"
        ) from refusal
    screen.came_up("tables and programs", loop.time() - began)


async def _start_parts(
    folder: DataFolder, settings: Settings, supervisor: Supervisor, screen: Screen
) -> None:
    screen.begin("starting the API, the feed and a worker")
    loop = asyncio.get_running_loop()
    began = loop.time()
    all_parts = [make(folder, settings) for make in (processes.api, processes.feed, processes.worker)]

    async def start(part: ProcessSpec) -> None:
        screen.came_up(part.name, await supervisor.start(part))

    await start_all(*(start(part) for part in all_parts))
    await _until_ready(settings, supervisor, [part.name for part in all_parts], loop.time() + READY_S)
    screen.came_up("all of it", loop.time() - began)


async def _until_ready(settings: Settings, supervisor: Supervisor, names: list[str], deadline: float) -> None:
    loop = asyncio.get_running_loop()
    while True:
        status, body = await processes.get(settings, "/health/ready")
        if status == 200:
            return
        for name in names:
            if supervisor.exit_count(name) >= ENDS_AT_MOST:
                raise ProcessFailed(f"{name} ends again and again{tail(supervisor.child(name))}")
        if loop.time() > deadline:
            raise ProcessFailed(f"not ready after {READY_S:.0f} s: {status} {body}".rstrip())
        await asyncio.sleep(POLL_S)


def _show_places(folder: DataFolder, settings: Settings, screen: Screen) -> None:
    base = f"http://{_in_url(settings.api_host)}:{settings.api_port}"
    screen.place("demo store page", f"{base}/")
    screen.place("API reference", f"{base}/docs")
    screen.place("health", f"{base}/health/ready")
    screen.place("feed", settings.feed_url)
    screen.place("folder", str(folder.path))
    screen.say("Ctrl-C stops it.", style="dim")


def _in_url(host: str) -> str:
    found = processes.reachable(host)
    return f"[{found}]" if ":" in found else found
