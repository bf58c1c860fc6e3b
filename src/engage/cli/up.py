"""`engage up`: run a whole installation on this machine until a signal stops it."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import msgspec
import rich_click as click

from engage import sandbox_secrets
from engage.cli.screen import Screen
from engage.decoding.json_text import decode_json
from engage.decoding.malformed import Malformed
from engage.domain.refusals import Refusal, Unavailable
from engage.embedded import bytecode, ports, processes
from engage.embedded.child_process import POLL_S, SAY_EVERY_S, ProcessSpec, tail
from engage.embedded.data_folder import DEFAULT_FOLDER, DataFolder
from engage.embedded.errors import InstallationError, ProcessFailed
from engage.embedded.installation import open_folder, open_servers
from engage.embedded.supervisor import Supervisor, start_all
from engage.settings import SERVER_URLS, Settings, with_environment

MAX_EXITS = 3  # A process that ends this often before all are ready will not start.
PROCESSES = (processes.api, processes.feed, processes.worker)
LOOPBACK = ("127.0.0.1", "::1", "localhost")

# The settings that this command decides, whatever its environment says: its servers, secrets and addresses
# are its own, each process has its own operations port and liveness file, and no money moves. Its processes
# get all others of the environment.
DECIDED = (
    *SERVER_URLS,
    *("pepper", "jwks", "sandbox"),
    *("api_host", "api_port", "feed_host", "feed_port", "feed_url"),
    *("operations_host", "operations_port", "liveness_file"),
    *("payouts", "momo_url", "momo_environment", "momo_subscription_key", "momo_user", "momo_key"),
)


class Location(msgspec.Struct, frozen=True):
    """The folder of an installation, and the address of its API."""

    path: Path
    host: str
    port: int


@click.command
@click.option(
    "--data",
    type=click.Path(path_type=Path, readable=False),
    default=DEFAULT_FOLDER,
    show_default=True,
    help="The installation's folder. It is created if it does not exist.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65_535),
    default=8080,
    show_default=True,
    help="Port of the API and the pages.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
def up(data: Path, port: int, host: str) -> None:
    """Run everything on this machine: PostgreSQL, Valkey, the API, the feed and a worker, as a sandbox.

    Ctrl-C stops it. The data stays in the folder. SIGUSR2 starts new processes before it stops the old ones.

    Settings of the environment, such as ENGAGE_TRACES_URL, hold for the processes; servers, secrets, ports
    and payouts are the sandbox's own.
    """
    asyncio.run(run_until_signal(Location(data, host, port), Screen()))


async def run_until_signal(location: Location, screen: Screen) -> None:
    """Return after a signal has stopped all processes. Raises InstallationError, SettingsError."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _stop_signals():
        loop.add_signal_handler(number, stopped.set)
    serving = asyncio.create_task(_serve(location, screen))
    waiting = asyncio.create_task(stopped.wait())
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not serving.done():
        screen.show("stopping …", style="dim")
        serving.cancel()
    try:
        await serving
    except asyncio.CancelledError:
        screen.show("stopped; no process is left", style="dim")


def _stop_signals() -> list[signal.Signals]:
    """Closing the terminal stops it too, unless nohup ignores that signal."""
    has_hangup = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if has_hangup else [])]


async def _serve(location: Location, screen: Screen) -> None:
    async with open_folder(location.path, on_message=screen.show) as folder:
        adjust = _choose_settings(location)
        if location.host not in LOOPBACK:
            screen.show(f"the sandbox shows its keys to all computers that can reach {location.host}")
        screen.begin_step("starting PostgreSQL and Valkey")
        try:
            async with open_servers(
                folder, adjust=adjust, on_message=screen.show, on_ready=screen.show_ready
            ) as servers:
                bytecode.enable(folder)
                notices = await _install(servers.settings, screen)
                await _start_processes(folder, servers.settings, servers.supervisor, screen)
                screen.end_step()
                _show_addresses(folder, servers.settings, servers.supervisor, screen)
                for notice in notices:
                    screen.show(f"{notice} --data {folder.path}")
                asked = _replacements_asked()
                screen.show("Ctrl-C stops it.", style="dim")
                await _replace_when_asked(asked, folder, servers.settings, servers.supervisor, screen)
        finally:
            screen.end_step()


def _choose_settings(location: Location) -> Callable[[Settings], Settings]:
    """Return a change of the settings, which takes those of the environment too, and raises SettingsError.
    The feed uses the next port, or any free one.

    Raises InstallationError if the API's port is taken.
    """
    error = ports.listen_error(location.host, location.port)
    if error is not None:
        raise InstallationError(
            f"cannot listen on {location.host} port {location.port}: {error}; try another --port"
        )
    feed_port = location.port + 1
    if feed_port > 65_535 or ports.listen_error(location.host, feed_port) is not None:
        feed_port = ports.free_port(location.host)

    def adjust(settings: Settings) -> Settings:
        return msgspec.structs.replace(
            with_environment(settings, fixed=DECIDED),
            api_host=location.host,
            api_port=location.port,
            feed_host=location.host,
            feed_port=feed_port,
            feed_url=f"ws://{_in_url(location.host)}:{feed_port}/",
        )

    return adjust


async def _install(settings: Settings, screen: Screen) -> list[str]:
    """Return what the person at the screen should know of the installed programs."""
    screen.begin_step("updating tables and programs")
    loop = asyncio.get_running_loop()
    started = loop.time()
    from engage.cli.run import NEWER_TABLES  # Late, because they import half of engage.
    from engage.flows.operations.install import install

    try:
        older = await install(settings)
    except Unavailable as error:
        if error.facts["part"] == "schema":
            raise InstallationError(NEWER_TABLES) from error
        raise InstallationError(f"{error.facts['part']} does not answer") from error
    except Refusal as refusal:
        facts = ", ".join(f"{name} {value}" for name, value in refusal.facts.items())
        raise InstallationError(f"cannot publish the presets: {refusal.code} ({facts})") from refusal
    screen.show_ready("tables and programs", loop.time() - started)
    return [preset.notice for preset in older]


async def _start_processes(
    folder: DataFolder, settings: Settings, supervisor: Supervisor, screen: Screen
) -> None:
    screen.begin_step("starting the API, the feed and a worker")
    loop = asyncio.get_running_loop()
    started = loop.time()
    specs = [make(folder, settings) for make in PROCESSES]

    async def start(spec: ProcessSpec) -> None:
        screen.show_ready(spec.name, await supervisor.start(spec))

    await start_all(*(start(spec) for spec in specs))
    await _wait_until_ready(settings, supervisor, [spec.name for spec in specs], screen)
    screen.show_ready("all processes", loop.time() - started)


def _replacements_asked() -> asyncio.Event:
    """Return an event that SIGUSR2 sets from now on."""
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, asked.set)
    return asked


async def _replace_when_asked(
    asked: asyncio.Event, folder: DataFolder, settings: Settings, supervisor: Supervisor, screen: Screen
) -> None:
    """Each time, replace the processes one after the other: each new one serves before the old one stops."""
    while True:
        await asked.wait()
        asked.clear()
        try:
            await processes.migrate(folder, settings)
            for make in PROCESSES:
                spec = make(folder, settings)
                screen.show_ready(f"new {spec.name}", await supervisor.replace(spec))
        except InstallationError as error:
            screen.show(f"{error}; the running process goes on")


async def _wait_until_ready(
    settings: Settings, supervisor: Supervisor, names: list[str], screen: Screen
) -> None:
    """Wait as long as no process keeps ending, and say now and then for which parts."""
    loop = asyncio.get_running_loop()
    begun = said = loop.time()
    while True:
        status, body = await processes.get(settings, "/health/ready")
        if status == 200:
            return
        for name in names:
            if supervisor.exit_count(name) >= MAX_EXITS:
                raise ProcessFailed(f"{name} keeps ending{tail(supervisor.child(name))}")
        if loop.time() - said > SAY_EVERY_S:
            said = loop.time()
            screen.show(f"waiting for {_parts_down(body)}, {said - begun:.0f} s so far")
        await asyncio.sleep(POLL_S)


def _parts_down(readiness: str) -> str:
    """Name the parts that are not up in the answer of `/health/ready`; the API where there is none."""
    try:
        parts = decode_json(readiness.encode(), _readiness).parts
    except Malformed:
        return "the API"
    return ", ".join(name for name, sign in parts.items() if sign != "up") or "all parts"


class _Readiness(msgspec.Struct, frozen=True):
    parts: dict[str, str]


_readiness = msgspec.json.Decoder(_Readiness)


def _show_addresses(folder: DataFolder, settings: Settings, supervisor: Supervisor, screen: Screen) -> None:
    base = f"http://{_in_url(settings.api_host)}:{settings.api_port}"
    screen.show_address("demo store page", f"{base}/")
    screen.show_address("console", f"{base}/console")
    for account in sandbox_secrets.read(folder.sandbox).console:
        screen.show_address(f"  its {account.role}", f"{account.email}  {account.password}")
    screen.show_address("API reference", f"{base}/docs")
    screen.show_address("health", f"{base}/health/ready")
    screen.show_address("feed", settings.feed_url)
    for record in supervisor.records():
        if record.operations_port:
            address = f"http://{processes.LOOPBACK}:{record.operations_port}/metrics"
            screen.show_address(f"metrics, {record.name}", address)
    screen.show_address("folder", str(folder.path))


def _in_url(host: str) -> str:
    address = processes.reachable(host)
    return f"[{address}]" if ":" in address else address
