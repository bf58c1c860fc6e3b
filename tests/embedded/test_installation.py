"""An installation's folder over its life: made, found again, left behind by a killed run, refused."""

import asyncio
import signal
import sys
from pathlib import Path

import psutil
import pytest
from redis.asyncio import Redis

from engage.embedded import run_file
from engage.embedded.data_folder import folder_at, hold
from engage.embedded.errors import FolderUnusable, InstallationError
from engage.embedded.installation import open_installation, running_servers
from engage.embedded.run_file import Kin, Run
from tests.embedded.asking import ask, is_running

# Holds an installation until it is killed, and says so.
HOLDER = """
import asyncio, sys
from pathlib import Path
from engage.embedded.installation import running_servers

async def main():
    async with running_servers(Path(sys.argv[1]), durable=False):
        print("running", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_second_start_finds_what_the_first_one_left(tmp_path: Path) -> None:
    async with running_servers(tmp_path / "a", durable=False) as first:
        await ask(first, "CREATE TABLE kept AS SELECT 1 AS one")
        async with Redis.from_url(first.state_url) as client:
            await client.set("kept", "1")
    async with open_installation(tmp_path / "a") as second:
        assert await ask(second, "SELECT one FROM kept") == 1
        async with Redis.from_url(second.state_url) as client:
            assert await client.get("kept") == b"1"
        assert (second.jwks, second.pepper) == (first.jwks, first.pepper)


async def test_what_a_killed_run_left_running_is_ended(tmp_path: Path) -> None:
    holder = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLDER, str(tmp_path / "a")), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        assert await holder.stdout.readline() == b"running\n"
        run = run_file.read(folder_at(tmp_path / "a"))
        assert run is not None
        assert {kin.name for kin in run.kin} == {"Valkey", "PostgreSQL"}
    finally:
        holder.kill()
        await holder.wait()
    async with running_servers(tmp_path / "a", durable=False) as settings:
        assert await ask(settings, "SELECT 1") == 1
        assert [kin for kin in run.kin if is_running(kin.pid)] == []


async def test_a_pid_that_is_someone_elses_by_now_is_left_alone(tmp_path: Path) -> None:
    folder = folder_at(tmp_path / "a")
    stranger = await asyncio.create_subprocess_exec("sleep", "60", start_new_session=True)
    try:
        created = psutil.Process(stranger.pid).create_time()
        with hold(folder):
            run_file.write(folder, Run(kin=[Kin("api", stranger.pid, created - 1, signal.SIGTERM)]))
            assert await run_file.end_leftovers(folder) == []
            assert stranger.returncode is None
            run_file.write(folder, Run(kin=[Kin("api", stranger.pid, created, signal.SIGTERM)]))
            assert await run_file.end_leftovers(folder) == ["api"]
            assert await stranger.wait() == -signal.SIGTERM
    finally:
        if stranger.returncode is None:
            stranger.kill()
            await stranger.wait()


async def test_a_path_too_long_for_a_socket_works_all_the_same(tmp_path: Path) -> None:
    deep = tmp_path / ("long" * 20) / "with space, comma" / "a"
    async with running_servers(deep, durable=False) as settings:
        run = run_file.read(folder_at(deep))
        assert await ask(settings, "SELECT 1") == 1
    assert run is not None
    (scratch,) = run.scratch
    assert not Path(scratch).exists()


def test_a_relative_folder_counts_from_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert folder_at(Path("a")).path == tmp_path / "a"


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.odt").touch()
    with pytest.raises(FolderUnusable, match=r"is not a data folder of engage: it holds thesis\.odt"):
        _hold(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.odt"]


def test_a_folder_of_another_layout_is_refused(tmp_path: Path) -> None:
    _hold(tmp_path)
    (tmp_path / "layout").write_text("99\n")
    with pytest.raises(FolderUnusable, match="has layout 99; this version of engage reads 1"):
        _hold(tmp_path)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FolderUnusable, match="cannot use"):
        _hold(tmp_path / "file" / "a")


async def test_a_command_on_no_installation_says_so(tmp_path: Path) -> None:
    with pytest.raises(InstallationError, match="is not a data folder of engage; `engage up` makes one"):
        async with open_installation(tmp_path / "nothing"):
            pass
    assert not (tmp_path / "nothing").exists()


async def test_without_a_folder_the_environment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGAGE_DATABASE_URL", "postgresql+asyncpg://somewhere/engage")
    for name in ("STATE", "QUEUE", "TOPICS"):
        monkeypatch.setenv(f"ENGAGE_{name}_URL", "redis://somewhere")
    async with open_installation(None) as settings:
        assert settings.database_url == "postgresql+asyncpg://somewhere/engage"


def _hold(path: Path) -> None:
    with hold(folder_at(path)):
        pass
