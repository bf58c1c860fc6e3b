"""The folder of an installation: created, opened again, after a killed run, refused."""

import asyncio
import signal
import sys
from pathlib import Path

import psutil
import pytest
from redis.asyncio import Redis

from engage.embedded import run_file
from engage.embedded.data_folder import folder_at, lock_folder
from engage.embedded.errors import FolderUnusable, InstallationError
from engage.embedded.installation import open_installation, running_servers
from engage.embedded.run_file import ProcessRecord, Run
from tests.embedded.probes import is_running, query

# Runs an installation until it is killed.
RUNNER = """
import asyncio, sys
from pathlib import Path
from engage.embedded.installation import running_servers

async def main():
    async with running_servers(Path(sys.argv[1]), durable=False):
        print("running", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_second_start_keeps_the_data_of_the_first(tmp_path: Path) -> None:
    async with running_servers(tmp_path / "a", durable=False) as first:
        await query(first, "CREATE TABLE kept AS SELECT 1 AS one")
        async with Redis.from_url(first.state_url) as client:
            await client.set("kept", "1")
    async with open_installation(tmp_path / "a") as second:
        assert await query(second, "SELECT one FROM kept") == 1
        async with Redis.from_url(second.state_url) as client:
            assert await client.get("kept") == b"1"
        assert (second.jwks, second.pepper) == (first.jwks, first.pepper)


async def test_processes_that_a_killed_run_left_are_stopped(tmp_path: Path) -> None:
    runner = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", RUNNER, str(tmp_path / "a")), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert runner.stdout is not None
        assert await runner.stdout.readline() == b"running\n"
        run = run_file.read(folder_at(tmp_path / "a"))
        assert run is not None
        assert {record.name for record in run.processes} == {"Valkey", "PostgreSQL"}
    finally:
        runner.kill()
        await runner.wait()
    async with running_servers(tmp_path / "a", durable=False) as settings:
        assert await query(settings, "SELECT 1") == 1
        assert [record for record in run.processes if is_running(record.pid)] == []


async def test_a_reused_pid_is_not_signalled(tmp_path: Path) -> None:
    folder = folder_at(tmp_path / "a")
    other = await asyncio.create_subprocess_exec("sleep", "60", start_new_session=True)
    try:
        created = psutil.Process(other.pid).create_time()
        with lock_folder(folder):
            run_file.write(
                folder, Run(processes=[ProcessRecord("api", other.pid, created - 1, signal.SIGTERM)])
            )
            assert await run_file.end_leftovers(folder) == []
            assert other.returncode is None
            run_file.write(folder, Run(processes=[ProcessRecord("api", other.pid, created, signal.SIGTERM)]))
            assert await run_file.end_leftovers(folder) == ["api"]
            assert await other.wait() == -signal.SIGTERM
    finally:
        if other.returncode is None:
            other.kill()
            await other.wait()


async def test_a_path_too_long_for_a_socket_works(tmp_path: Path) -> None:
    deep = tmp_path / ("long" * 20) / "with space, comma" / "a"
    async with running_servers(deep, durable=False) as settings:
        run = run_file.read(folder_at(deep))
        assert await query(settings, "SELECT 1") == 1
    assert run is not None
    (scratch,) = run.scratch
    assert not Path(scratch).exists()


def test_a_relative_folder_counts_from_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert folder_at(Path("a")).path == tmp_path / "a"


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.odt").touch()
    with pytest.raises(FolderUnusable, match=r"is not a data folder of engage: it contains thesis\.odt"):
        _lock(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.odt"]


def test_a_folder_of_another_layout_is_refused(tmp_path: Path) -> None:
    _lock(tmp_path)
    (tmp_path / "layout").write_text("99\n")
    with pytest.raises(FolderUnusable, match="has layout 99; this version of engage reads 1"):
        _lock(tmp_path)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FolderUnusable, match="cannot use"):
        _lock(tmp_path / "file" / "a")


async def test_a_command_without_an_installation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InstallationError, match="is not a data folder of engage; `engage up` creates one"):
        async with open_installation(tmp_path / "nothing"):
            pass
    assert not (tmp_path / "nothing").exists()


async def test_without_a_folder_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGAGE_DATABASE_URL", "postgresql+asyncpg://somewhere/engage")
    for name in ("STATE", "QUEUE", "TOPICS"):
        monkeypatch.setenv(f"ENGAGE_{name}_URL", "redis://somewhere")
    async with open_installation(None) as settings:
        assert settings.database_url == "postgresql+asyncpg://somewhere/engage"


async def test_the_database_of_the_environment_may_be_named_by_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "database_url"
    file.write_text("postgresql+asyncpg://somewhere/engage\n")
    monkeypatch.setenv("ENGAGE_DATABASE_URL_FILE", str(file))
    for name in ("STATE", "QUEUE", "TOPICS"):
        monkeypatch.setenv(f"ENGAGE_{name}_URL", "redis://somewhere")
    async with open_installation(None) as settings:
        assert settings.database_url == "postgresql+asyncpg://somewhere/engage"


def _lock(path: Path) -> None:
    with lock_folder(folder_at(path)):
        pass
