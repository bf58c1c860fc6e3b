"""Each fault does what it says, to a real installation, and undoes it."""

import asyncio
import errno
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import asyncpg
import httpx
import psutil
import pytest
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError, ResponseError

from engage.torture import faketime, private_disk
from engage.torture.faults import FAULTS
from engage.torture.kinds import CLOCK_OFF_S, KINDS
from engage.torture.parts import APIS, POSTGRES, PROCESSES, QUEUE, SERVERS, STATE
from engage.torture.plan import Step
from engage.torture.record import Record
from engage.torture.recovery import Probe
from engage.torture.run import installation_folder
from engage.torture.system import System, open_system

WITHIN_S = 60.0  # A guard against hanging, not a tested limit.
SILENT_S = 0.5
DELAY_S = 0.2
AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class Installation:
    """A running installation, and why its disk cannot be filled."""

    def __init__(self, system: System, no_disk: str | None) -> None:
        self.system = system
        self.no_disk = no_disk

    def step(self, fault: str, target: str, **parameters: float) -> Step:
        return Step(round=0, fault=fault, target=target, begin_s=0, length_s=1.0, parameters=parameters)

    async def through(self, link: str) -> asyncpg.Connection:
        """Connect to PostgreSQL as a process does."""
        url = self.system.settings.database_url
        name = url.partition("?")[0].rpartition("/")[2]
        port = self.system.links.ports[link]
        return await asyncpg.connect(host="127.0.0.1", port=port, user="postgres", database=name, timeout=10)

    async def live(self) -> None:
        recovery = await Probe(self.system, Record()).until_live(asyncio.get_running_loop().time())
        assert not recovery.missing, recovery


@pytest.fixture(scope="module")
async def installation(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Installation]:
    root = tmp_path_factory.mktemp("torture")
    for folder in (root, root.parent, root.parent.parent):
        folder.chmod(0o711)
    with installation_folder(root) as (folder, no_disk):
        async with open_system(folder, has_clocks=faketime.library() is not None) as system:
            yield Installation(system, no_disk)


@pytest.fixture(autouse=True)
async def live_afterwards(installation: Installation) -> AsyncIterator[None]:
    yield
    await installation.live()


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not await holds():
            await asyncio.sleep(0.05)


async def _have_state(process: psutil.Process, states: set[str]) -> bool:
    """True if the process and all its children are in one of the states. Children may end meanwhile."""

    def status(child: psutil.Process) -> str | None:
        with suppress(psutil.NoSuchProcess):
            return str(child.status())
        return None

    children = {status(child) for child in process.children(recursive=True)} - {None}
    return {process.status(), *children} <= states


def _created(pid: int) -> float:
    with suppress(psutil.Error):
        return float(psutil.Process(pid).create_time())
    return 0.0


@pytest.mark.parametrize("target", ["worker-1", POSTGRES, STATE])
async def test_kill_ends_it_and_it_is_started_again(installation: Installation, target: str) -> None:
    system = installation.system
    before = system.pid(target)
    async with FAULTS["kill"](system, installation.step("kill", target)):
        pass

    async def is_another() -> bool:
        return system.pid(target) != before and _created(system.pid(target)) > 0

    await eventually(is_another)


@pytest.mark.parametrize("target", ["feed", POSTGRES, QUEUE])
async def test_stop_lasts_as_long_as_the_fault(installation: Installation, target: str) -> None:
    process = psutil.Process(installation.system.pid(target))
    async with FAULTS["stop"](installation.system, installation.step("stop", target)):
        await eventually(lambda: _have_state(process, {psutil.STATUS_STOPPED}))
    await eventually(lambda: _have_state(process, {psutil.STATUS_RUNNING, psutil.STATUS_SLEEPING}))


@pytest.mark.parametrize("fault", ["kill-backend", "end-backends", "cut"])
async def test_connections_are_lost_and_come_back(installation: Installation, fault: str) -> None:
    connection = await installation.through("feed/postgres")
    try:
        await connection.execute("SET application_name = 'engage'")
        async with FAULTS[fault](
            installation.system, installation.step(fault, "*/postgres" if fault == "cut" else POSTGRES)
        ):
            pass

        async def is_lost() -> bool:
            with suppress(*AWAY):
                await connection.fetchval("SELECT 1", timeout=5)
            return bool(connection.is_closed())

        await eventually(is_lost)
    finally:
        connection.terminate()


@pytest.mark.parametrize("fault", ["commit-cut", "commit-kill"])
async def test_a_commit_that_is_not_answered_is_durable(installation: Installation, fault: str) -> None:
    """The process of the link may commit first, and be the one that is struck: then try again."""
    system = installation.system
    direct = await system.connect()
    await direct.execute("CREATE TABLE IF NOT EXISTS written (line int)")
    killed = psutil.Process(system.pid(APIS[0]))
    try:

        async def is_struck() -> bool:
            connection = await installation.through(f"{APIS[0]}/postgres")
            try:
                await connection.execute("INSERT INTO written SELECT count(*) FROM written")
            except AWAY:
                return True
            finally:
                connection.terminate()
            return False

        before = await direct.fetchval("SELECT count(*) FROM written")
        async with FAULTS[fault](system, installation.step(fault, APIS[0])):
            struck = await is_struck()
        assert await direct.fetchval("SELECT count(*) FROM written") == before + 1
        if fault == "commit-kill":
            await asyncio.to_thread(killed.wait, WITHIN_S)
        else:
            assert struck or killed.is_running()
    finally:
        await direct.close()


async def test_refused_connections_are_ended(installation: Installation) -> None:
    async with FAULTS["refuse"](installation.system, installation.step("refuse", "feed/postgres")):
        with pytest.raises(AWAY):
            await installation.through("feed/postgres")
    (await installation.through("feed/postgres")).terminate()


async def test_a_blackhole_answers_nothing_and_old_connections_stay_silent(
    installation: Installation,
) -> None:
    connection = await installation.through("feed/postgres")
    try:
        async with FAULTS["blackhole"](installation.system, installation.step("blackhole", "feed/postgres")):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(connection.fetchval("SELECT 1"), SILENT_S)
        (await installation.through("feed/postgres")).terminate()
    finally:
        connection.terminate()


async def test_a_slow_link_is_late(installation: Installation) -> None:
    loop = asyncio.get_running_loop()
    connection = await installation.through("feed/postgres")
    step = installation.step("slow", "feed/postgres", delay_s=DELAY_S)
    try:
        async with FAULTS["slow"](installation.system, step):
            began = loop.time()
            assert await connection.fetchval("SELECT 1") == 1
            assert loop.time() - began >= 2 * DELAY_S
    finally:
        connection.terminate()


async def test_emptied_is_empty(installation: Installation) -> None:
    async with installation.system.valkey(STATE) as client:
        await client.set("kept", 1)
        async with FAULTS["empty"](installation.system, installation.step("empty", STATE)):
            pass
        assert await client.get("kept") is None


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("read-only", ReadOnlyError),
        ("no-replicas", ResponseError),
        ("memory-full", OutOfMemoryError),
    ],
)
async def test_valkey_refuses_writes(installation: Installation, fault: str, error: type[Exception]) -> None:
    async with installation.system.valkey(STATE) as client:
        async with FAULTS[fault](installation.system, installation.step(fault, STATE)):
            with pytest.raises(error):
                await client.set("written", 1)
        assert await client.set("written", 1)


async def test_paused_valkey_answers_later(installation: Installation) -> None:
    async with installation.system.valkey(QUEUE) as client:
        await client.ping()
        async with FAULTS["pause"](installation.system, installation.step("pause", QUEUE)):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.ping(), SILENT_S)


async def test_valkey_comes_back_with_its_older_file(installation: Installation) -> None:
    async with installation.system.valkey(STATE) as client:
        await client.set("age", "older")
        async with FAULTS["older-file"](installation.system, installation.step("older-file", STATE)):
            await client.set("age", "newer")

    async def is_older() -> bool:
        with suppress(RedisError, OSError):
            async with installation.system.valkey(STATE) as client:
                return bool(await client.get("age") == b"older")
        return False

    await eventually(is_older)


async def test_a_read_only_database_refuses_writes(installation: Installation) -> None:
    step = installation.step("database-read-only", POSTGRES)

    async def refuses() -> bool:
        connection = await installation.system.connect()
        try:
            await connection.execute("CREATE TABLE IF NOT EXISTS changed (line int)")
        except asyncpg.ReadOnlySQLTransactionError:
            return True
        finally:
            connection.terminate()
        return False

    async def takes() -> bool:
        return not await refuses()

    async with FAULTS["database-read-only"](installation.system, step):
        await eventually(refuses)
    await eventually(takes)


async def test_no_connection_is_left(installation: Installation) -> None:
    step = installation.step("connections-full", POSTGRES)

    async def is_full() -> bool:
        try:
            (await installation.system.connect()).terminate()
        except asyncpg.TooManyConnectionsError:
            return True
        return False

    async with FAULTS["connections-full"](installation.system, step):
        await eventually(is_full)


async def test_a_full_disk_takes_nothing(installation: Installation) -> None:
    if installation.no_disk is not None:
        pytest.skip(installation.no_disk)
    file = installation.system.folder.path / "more"
    async with FAULTS["disk-full"](installation.system, installation.step("disk-full", "disk")):
        with pytest.raises(OSError) as raised:
            file.write_bytes(b"x" * 16 * private_disk.LEFT)
        assert raised.value.errno == errno.ENOSPC
        file.unlink()
    file.write_bytes(b"x" * 16 * private_disk.LEFT)
    file.unlink()


@pytest.mark.skipif(faketime.library() is None, reason="libfaketime is not installed")
@pytest.mark.parametrize("ahead_s", [CLOCK_OFF_S, -CLOCK_OFF_S])
async def test_a_machine_whose_clock_is_far_off_does_not_work(
    installation: Installation, ahead_s: float
) -> None:
    step = installation.step("clock", APIS[0], ahead_s=ahead_s)
    api = installation.system.endpoints.apis[0]
    async with (
        FAULTS["clock"](installation.system, step),
        httpx.AsyncClient(base_url=api, timeout=30) as client,
    ):

        async def says_so() -> bool:
            return "clock_far_off" in (await client.get("/health/ready")).text

        await eventually(says_so)


def test_each_fault_has_a_test() -> None:
    tested = {
        *("kill", "stop", "kill-backend", "end-backends", "cut", "commit-cut", "commit-kill"),
        *("refuse", "blackhole", "slow", "empty", "read-only", "no-replicas", "memory-full", "pause"),
        *("older-file", "database-read-only", "connections-full", "disk-full", "clock"),
    }
    assert tested == KINDS.keys()
    assert {*PROCESSES, *SERVERS} >= {target for name in ("kill", "stop") for target in KINDS[name].targets}
