"""Run `engage` as a user at a terminal does: a separate process with real children and signals."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import asyncpg
import httpx

from engage.embedded.data_folder import folder_at
from engage.embedded.run_file import read
from engage.settings import Settings, to_environment

READY_S = 120.0


async def engage(*arguments: str, cwd: Path, **environment: str) -> asyncio.subprocess.Process:
    """Start a command with its output on a pipe."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ENGAGE_")}
    # Without a cache of compiled files every process would compile all modules.
    inherited |= {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(Path(sys.prefix) / "bytecode")}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "engage.cli", *arguments),
        cwd=cwd,
        env=inherited | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def run(settings: Settings | None, *arguments: str, cwd: Path) -> tuple[int | None, str]:
    """Run a command to its end; return (exit status, output)."""
    running = await engage(*arguments, cwd=cwd, **({} if settings is None else to_environment(settings)))
    output, _ = await running.communicate()
    return running.returncode, output.decode()


@asynccontextmanager
async def up(
    cwd: Path, port: int, data: str = "there", **environment: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Start `engage up` and wait until it is ready. Yields (process, output until then)."""
    running = await engage("up", "--data", data, "--port", str(port), cwd=cwd, **environment)
    assert running.stdout is not None
    output: list[str] = []
    try:
        async with asyncio.timeout(READY_S):
            while not output or not output[-1].startswith("Ctrl-C"):
                line = (await running.stdout.readline()).decode()
                assert line, "".join(output)
                output.append(line)
        yield running, "".join(output)
    finally:
        if running.returncode is None:
            running.kill()
        await running.communicate()


async def advance_clock(port: int, to: datetime) -> None:
    """Advance the sandbox clock of an `engage up`."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        answer = await client.post("/v1/sandbox/clock", json={"to": to.isoformat()})
        assert answer.status_code == 200, answer.text


def health(port: int, path: str = "/health/ready") -> int:
    """Return the status of a health check, or 0 without an answer."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, HTTPException):
        return 0
    finally:
        connection.close()


async def connect_to(folder: Path) -> asyncpg.Connection:
    """Connect to the database of an `engage up`."""
    run = read(folder_at(folder))
    assert run is not None
    return await asyncpg.connect(
        run.environment["ENGAGE_DATABASE_URL"].replace("postgresql+asyncpg", "postgresql")
    )


def pids(folder: Path) -> dict[str, int]:
    """Return the pids of the children of an `engage up`, by name."""
    run = json.loads((folder / "run.json").read_bytes())
    return {record["name"]: record["pid"] for record in run["processes"]}
