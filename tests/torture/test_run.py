"""A run that is interrupted leaves no process. Whole runs: `.ci/run`."""

import asyncio
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from engage.embedded.run_file import FOLDER_VARIABLE
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
