"""Processes are started, restarted, and stopped with their children."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from engage.embedded import child_process
from engage.embedded.child_process import LOG_BYTES, ProcessSpec
from engage.embedded.errors import ProcessFailed
from engage.embedded.supervisor import Supervisor, start_all
from tests.embedded.probes import is_running
from tests.support.ports import server_port

# Starts a child, as a server with workers does, and writes both pids to a file.
FAMILY = """
import os, pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
path = pathlib.Path(sys.argv[1])
path.with_suffix(".new").write_text(f"{os.getpid()} {child.pid}")
path.with_suffix(".new").replace(path)
time.sleep(600)
"""
TOUCHING = """
import os, pathlib, time
while True:
    pathlib.Path(os.environ["ENGAGE_LIVENESS_FILE"]).touch()
    time.sleep(0.05)
"""
HANGING = """
import os, pathlib, time
from engage.embedded.stacks import write_stacks_on_signal
write_stacks_on_signal()
pathlib.Path(os.environ["ENGAGE_LIVENESS_FILE"]).touch()
def hang_here():
    while True:
        pass
hang_here()
"""
SERVING = """
import signal, socket, sys
listening = socket.socket()
listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
listening.bind(("127.0.0.1", int(sys.argv[1])))
listening.listen(100)
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
while True:
    listening.accept()[0].close()
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
time.sleep(600)
"""
PRINT_ENVIRONMENT = """
import os, time
print(sorted(name for name in os.environ if name[:2] in ("PG", "EN")), flush=True)
time.sleep(600)
"""
RESTART_S = 30.0


@pytest.fixture
async def supervisor() -> AsyncIterator[Supervisor]:
    supervisor = Supervisor()
    yield supervisor
    await supervisor.stop()


def stand_in(
    tmp_path: Path, program: str, *arguments: str, name: str = "stand-in", **more: object
) -> ProcessSpec:
    return ProcessSpec(
        name=name,
        command=[sys.executable, "-S", "-c", program, *arguments],
        log=tmp_path / f"{name}.log",
        directory=tmp_path,
        **more,  # type: ignore[arg-type]
    )


def family(tmp_path: Path) -> tuple[ProcessSpec, Path]:
    pids = tmp_path / "pids"

    async def ready() -> bool:
        return pids.exists()

    return stand_in(tmp_path, FAMILY, str(pids), ready=ready), pids


def read_pids(path: Path) -> list[int]:
    return [int(pid) for pid in path.read_text().split()]


async def until_gone(pid: int) -> None:
    async with asyncio.timeout(RESTART_S):
        while is_running(pid):
            await asyncio.sleep(0.02)


async def test_a_killed_process_is_restarted_and_its_children_are_killed(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    program, pids = family(tmp_path)
    await supervisor.start(program)
    parent, child = read_pids(pids)
    pids.unlink()
    os.kill(parent, signal.SIGKILL)
    await until_gone(child)
    async with asyncio.timeout(RESTART_S):
        while not pids.exists():
            await asyncio.sleep(0.02)
    assert read_pids(pids)[0] == supervisor.pid("stand-in") != parent
    assert supervisor.exit_count("stand-in") == 1
    (line,) = (tmp_path / "stand-in.log").read_text().splitlines()
    assert json.loads(line) == {
        "event": "the process is started again",
        "process": "stand-in",
        "reason": "was ended by SIGKILL",
    }


async def test_a_process_that_does_not_answer_is_restarted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engage.embedded.supervisor.LOOK_S", 0.05)
    monkeypatch.setattr("engage.embedded.child_process.LIVENESS_S", 2.0)
    said: list[str] = []
    supervisor = Supervisor(on_message=said.append)
    try:
        await supervisor.start(stand_in(tmp_path, TOUCHING, liveness=tmp_path, silent_s=1.0))
        before = supervisor.pid("stand-in")
        await asyncio.sleep(4.0)
        assert supervisor.pid("stand-in") == before, "it touches its file"
        os.kill(before, signal.SIGSTOP)
        async with asyncio.timeout(RESTART_S):
            while supervisor.pid("stand-in") == before:
                await asyncio.sleep(0.02)
        await until_gone(before)
        assert [line.startswith("stand-in has not answered for") for line in said] == [True]
        assert supervisor.exit_count("stand-in") == 1
    finally:
        await supervisor.stop()
    assert list(tmp_path.glob("stand-in.*")) == [tmp_path / "stand-in.log"], "its files are gone"


async def test_a_process_that_hangs_says_where_before_it_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engage.embedded.supervisor.LOOK_S", 0.05)
    monkeypatch.setattr("engage.embedded.child_process.LIVENESS_S", 0.2)
    supervisor = Supervisor()
    spec = stand_in(tmp_path, "", liveness=tmp_path, silent_s=0.2)
    try:
        await supervisor.start(msgspec.structs.replace(spec, command=[sys.executable, "-c", HANGING]))
        async with asyncio.timeout(RESTART_S):
            while supervisor.exit_count("stand-in") < 2:
                await asyncio.sleep(0.02)
    finally:
        await supervisor.stop()
    assert " in hang_here\n" in (tmp_path / "stand-in.log").read_text()


async def test_a_process_is_replaced_without_a_refused_connection(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    port = server_port()
    spec = stand_in(tmp_path, SERVING, str(port), port=port, stop_s=5)
    await supervisor.start(spec)
    before = supervisor.pid("stand-in")
    refused, replaced = 0, asyncio.Event()

    async def connect() -> None:
        nonlocal refused
        while not replaced.is_set():
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.transport.abort()
            except OSError:
                refused += 1
            await asyncio.sleep(0.001)

    connecting = asyncio.create_task(connect())
    await supervisor.replace(spec)
    replaced.set()
    await connecting
    assert refused == 0
    assert supervisor.pid("stand-in") != before
    assert not is_running(before)
    assert supervisor.exit_count("stand-in") == 0, "it has not ended by itself"


async def test_a_replacement_that_does_not_start_leaves_the_running_process(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    port = server_port()
    await supervisor.start(stand_in(tmp_path, SERVING, str(port), port=port))
    before = supervisor.pid("stand-in")
    with pytest.raises(ProcessFailed, match="no port"):
        await supervisor.replace(stand_in(tmp_path, "import sys; sys.exit('no port')", port=port))
    assert supervisor.pid("stand-in") == before
    assert is_running(before)


async def test_stopping_ends_a_process_and_its_children(tmp_path: Path, supervisor: Supervisor) -> None:
    program, pids = family(tmp_path)
    await supervisor.start(program)
    await supervisor.stop()
    for pid in read_pids(pids):
        await until_gone(pid)
    assert supervisor.records() == []


async def test_a_process_that_ignores_the_stop_signal_is_killed(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    log = tmp_path / "stand-in.log"

    async def ready() -> bool:
        return log.stat().st_size > 0

    await supervisor.start(stand_in(tmp_path, STUBBORN, ready=ready, stop_s=0.1))
    await supervisor.stop()
    assert not is_running(supervisor.pid("stand-in"))


async def test_a_probe_that_swallows_its_cancellation_does_not_keep_a_process_running(
    tmp_path: Path, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the client of Valkey does while it connects."""
    monkeypatch.setattr("engage.embedded.supervisor.LOOK_S", 0.01)
    probing = asyncio.Event()

    async def alive() -> bool:
        probing.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return True

    spec, pids = family(tmp_path)
    await supervisor.start(msgspec.structs.replace(spec, alive=alive))
    async with asyncio.timeout(RESTART_S):
        await probing.wait()
        await supervisor.stop()
    for pid in read_pids(pids):
        await until_gone(pid)


async def test_processes_stop_in_their_order(tmp_path: Path, supervisor: Supervisor) -> None:
    order = tmp_path / "order"
    program = """
import signal, sys, time
def stop(*_):
    with open(sys.argv[1], "a") as file:
        file.write(sys.argv[2])
    sys.exit()
signal.signal(signal.SIGTERM, stop)
print("up", flush=True)
time.sleep(600)
"""

    async def start(name: str, stop_order: int) -> None:
        log = tmp_path / f"{name}.log"

        async def ready() -> bool:
            return log.stat().st_size > 0

        await supervisor.start(
            stand_in(tmp_path, program, str(order), name, name=name, ready=ready, stop_order=stop_order)
        )

    await start_all(start("c", 2), start("a", 0), start("b", 1))
    await supervisor.stop()
    assert order.read_text() == "abc"


async def test_a_failed_start_shows_the_end_of_the_log(tmp_path: Path, supervisor: Supervisor) -> None:
    async def ready() -> bool:
        return False

    (tmp_path / "stand-in.log").write_text("of an earlier run\n")
    with pytest.raises(ProcessFailed) as failed:
        await supervisor.start(stand_in(tmp_path, "import sys; sys.exit('no port')", ready=ready))
    assert str(failed.value) == (
        f"stand-in ended with 1 while starting; {tmp_path}/stand-in.log ends with:\nno port"
    )


async def test_a_missing_program_is_reported_in_one_line(tmp_path: Path, supervisor: Supervisor) -> None:
    async def ready() -> bool:
        return False

    none = str(tmp_path / "none")
    missing = ProcessSpec(name="x", command=[none], log=tmp_path / "x.log", directory=tmp_path, ready=ready)
    with pytest.raises(ProcessFailed, match=f"{none}: No such file or directory$"):
        await supervisor.start(missing)


async def test_a_process_that_works_on_its_start_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow machine takes as long as it takes."""
    monkeypatch.setattr(child_process, "SAY_EVERY_S", 0.2)
    begun = tmp_path / "begun"
    works = "import pathlib, time\nend = time.monotonic() + 4.0\nwhile time.monotonic() < end: pass\n"
    works += f"pathlib.Path({str(begun)!r}).touch()\ntime.sleep(600)"
    messages: list[str] = []

    async def ready() -> bool:
        return begun.exists()

    supervisor = Supervisor(on_message=messages.append)
    try:
        await supervisor.start(stand_in(tmp_path, works, ready=ready, start_s=1.5))
    finally:
        await supervisor.stop()
    assert re.match(r"waiting for stand-in to start, \d+ s so far: ", messages[0])


async def test_a_process_that_is_not_ready_in_time_is_stopped(tmp_path: Path, supervisor: Supervisor) -> None:
    async def ready() -> bool:
        return False

    with pytest.raises(ProcessFailed, match="stand-in is not ready, and did nothing for 0 s"):
        await supervisor.start(stand_in(tmp_path, "import time; time.sleep(600)", ready=ready, start_s=0.1))
    assert supervisor.records() == []


async def test_a_long_log_is_renamed(tmp_path: Path, supervisor: Supervisor) -> None:
    log = tmp_path / "stand-in.log"
    log.write_bytes(b"x" * (LOG_BYTES + 1))
    await supervisor.start(stand_in(tmp_path, "import time; time.sleep(600)"))
    assert log.stat().st_size == 0
    assert (tmp_path / "stand-in.log.1").stat().st_size == LOG_BYTES + 1


async def test_variables_of_another_installation_are_removed(
    tmp_path: Path, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("ENGAGE_PEPPER", "of another installation")
    log = tmp_path / "stand-in.log"

    async def ready() -> bool:
        return log.stat().st_size > 0

    await supervisor.start(
        stand_in(tmp_path, PRINT_ENVIRONMENT, environment={"ENGAGE_API_PORT": "1"}, ready=ready)
    )
    assert log.read_text() == "['ENGAGE_API_PORT']\n"
