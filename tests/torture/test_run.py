"""A whole run keeps every promise, leaves a record of it, and no process; so does one that is interrupted."""

import asyncio
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import psutil
import pytest

from engage.embedded.run_file import FOLDER_VARIABLE
from engage.torture.plan import Plan, make_plan
from engage.torture.repeat import stories_of
from engage.torture.run import run
from tests.support.command_line import engage

INTERRUPTED = 130


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that PostgreSQL's user can traverse."""
    with tempfile.TemporaryDirectory(prefix="engage-torture-test-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)
        yield Path(name)


def _left(folder: Path) -> list[int]:
    """Return the processes of installations in the folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(FOLDER_VARIABLE, "").startswith(str(folder)):
                found.append(process.pid)
    return found


async def test_an_installation_under_fire_keeps_its_promises(folder: Path) -> None:
    plan = make_plan(11, minutes=0.4, faults=("kill", "commit-cut", "empty", "stop"))
    result = await run(plan, parent=folder)
    assert result.broken == [], stories_of(result)
    assert result.rounds
    assert result.requests > 0
    kept = Path(result.folder)
    assert msgspec.json.decode((kept / "plan.json").read_bytes(), type=Plan) == result.plan
    assert len((kept / "record.jsonl").read_bytes().splitlines()) >= result.requests
    assert (kept / "logs" / "api-1.log").exists()
    assert _left(folder) == []


async def test_an_interrupted_run_leaves_no_process(folder: Path) -> None:
    running = await engage("torture", "--minutes", "1", "--in", str(folder), cwd=folder)
    assert running.stdout is not None
    assert b"starting" in await running.stdout.readline()
    while not _left(folder):
        await asyncio.sleep(0.05)
    os.kill(running.pid, signal.SIGINT)
    output = await running.stdout.read()
    assert await running.wait() == INTERRUPTED, output.decode()
    assert _left(folder) == []
