"""Parts are started, brought back and stopped with all that they started: shown on small stand-ins."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engage.embedded.child import LOG_BYTES, Part
from engage.embedded.errors import PartFailed
from engage.embedded.supervisor import Supervisor, together
from tests.embedded.asking import is_running

# Serves nothing; has a child as a server with workers has, and writes both pids down.
FAMILY = """
import os, pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
path = pathlib.Path(sys.argv[1])
path.with_suffix(".new").write_text(f"{os.getpid()} {child.pid}")
path.with_suffix(".new").replace(path)
time.sleep(600)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
time.sleep(600)
"""
NOTED = """
import os, time
print(sorted(name for name in os.environ if name[:2] in ("PG", "EN")), flush=True)
time.sleep(600)
"""
BACK_S = 30.0


@pytest.fixture
async def supervisor() -> AsyncIterator[Supervisor]:
    supervisor = Supervisor()
    yield supervisor
    await supervisor.stop()


def part(tmp_path: Path, program: str, *arguments: str, name: str = "stand-in", **more: object) -> Part:
    return Part(
        name=name,
        command=[sys.executable, "-S", "-c", program, *arguments],
        log=tmp_path / f"{name}.log",
        directory=tmp_path,
        **more,  # type: ignore[arg-type]
    )


def family(tmp_path: Path) -> tuple[Part, Path]:
    pids = tmp_path / "pids"

    async def ready() -> bool:
        return pids.exists()

    return part(tmp_path, FAMILY, str(pids), ready=ready), pids


def read_pids(path: Path) -> list[int]:
    return [int(pid) for pid in path.read_text().split()]


async def until_gone(pid: int) -> None:
    async with asyncio.timeout(BACK_S):
        while is_running(pid):
            await asyncio.sleep(0.02)


async def test_a_killed_part_comes_back_and_its_own_children_do_not_stay(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    program, pids = family(tmp_path)
    await supervisor.start(program)
    parent, child = read_pids(pids)
    pids.unlink()
    os.kill(parent, signal.SIGKILL)
    await until_gone(child)
    async with asyncio.timeout(BACK_S):
        while not pids.exists():
            await asyncio.sleep(0.02)
    assert read_pids(pids)[0] == supervisor.pid("stand-in") != parent
    assert supervisor.ends("stand-in") == 1


async def test_stopping_leaves_nothing_of_a_part(tmp_path: Path, supervisor: Supervisor) -> None:
    program, pids = family(tmp_path)
    await supervisor.start(program)
    await supervisor.stop()
    for pid in read_pids(pids):
        await until_gone(pid)
    assert supervisor.kin() == []


async def test_a_part_that_will_not_stop_is_killed(tmp_path: Path, supervisor: Supervisor) -> None:
    log = tmp_path / "stand-in.log"

    async def ready() -> bool:
        return log.stat().st_size > 0

    await supervisor.start(part(tmp_path, STUBBORN, ready=ready, stop_s=0.1))
    await supervisor.stop()
    assert not is_running(supervisor.pid("stand-in"))


async def test_parts_stop_in_their_order(tmp_path: Path, supervisor: Supervisor) -> None:
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
            part(tmp_path, program, str(order), name, name=name, ready=ready, stop_order=stop_order)
        )

    await together(start("c", 2), start("a", 0), start("b", 1))
    await supervisor.stop()
    assert order.read_text() == "abc"


async def test_a_part_that_does_not_start_is_told_with_the_end_of_its_log(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    async def ready() -> bool:
        return False

    (tmp_path / "stand-in.log").write_text("of an earlier run\n")
    with pytest.raises(PartFailed) as failed:
        await supervisor.start(part(tmp_path, "import sys; sys.exit('no port')", ready=ready))
    assert str(failed.value) == (
        f"stand-in ended with 1 while starting; {tmp_path}/stand-in.log ends with:\nno port"
    )


async def test_a_program_that_is_not_there_is_told_in_a_line(tmp_path: Path, supervisor: Supervisor) -> None:
    async def ready() -> bool:
        return False

    none = str(tmp_path / "none")
    missing = Part(name="x", command=[none], log=tmp_path / "x.log", directory=tmp_path, ready=ready)
    with pytest.raises(PartFailed, match=f"{none}: No such file or directory$"):
        await supervisor.start(missing)


async def test_a_part_that_takes_too_long_is_given_up(tmp_path: Path, supervisor: Supervisor) -> None:
    async def ready() -> bool:
        return False

    with pytest.raises(PartFailed, match="stand-in is not ready after 0 s"):
        await supervisor.start(part(tmp_path, "import time; time.sleep(600)", ready=ready, start_s=0.1))
    assert supervisor.kin() == []


async def test_a_long_log_is_put_aside(tmp_path: Path, supervisor: Supervisor) -> None:
    log = tmp_path / "stand-in.log"
    log.write_bytes(b"x" * (LOG_BYTES + 1))
    await supervisor.start(part(tmp_path, "import time; time.sleep(600)"))
    assert log.stat().st_size == 0
    assert (tmp_path / "stand-in.log.1").stat().st_size == LOG_BYTES + 1


async def test_a_part_is_not_told_of_another_installation(
    tmp_path: Path, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("ENGAGE_PEPPER", "of another installation")
    log = tmp_path / "stand-in.log"

    async def ready() -> bool:
        return log.stat().st_size > 0

    await supervisor.start(part(tmp_path, NOTED, environment={"ENGAGE_API_PORT": "1"}, ready=ready))
    assert log.read_text() == "['ENGAGE_API_PORT']\n"
