"""`engage up` as a user at a terminal sees it: with real processes and signals."""

import asyncio
import os
import re
import resource
import signal
import time
from pathlib import Path

import httpx
import msgspec
import psutil
import pytest

from engage.settings import Settings, to_environment
from tests.embedded.probes import is_running
from tests.support.command_line import connect_to, engage, health, pids, up
from tests.support.eventually import eventually
from tests.support.ports import server_port

SECOND_RUN_S = 10.0
STOP_S = 20.0
RESTARTED_S = 120.0  # A guard against hanging, not a tested limit.
SUSPENDED_S = 45.0
PROCESSES = ("api", "feed", "worker")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The current directory of all commands of this file. They share an installation."""
    return tmp_path_factory.mktemp("home")


def family(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


async def test_one_command_runs_everything_until_a_signal(home: Path) -> None:
    port = server_port()
    folder = home / "there"
    # The first is a setting like any other, the second a server, and the sandbox has its own.
    variables = {"ENGAGE_TRACES_RATIO": "0.25", "ENGAGE_DATABASE_URL": "postgresql+asyncpg://elsewhere/e"}
    async with up(home, port, **variables) as (running, output):
        assert health(port) == 200
        assert f"http://127.0.0.1:{port}/\n" in output
        assert re.search(r"ws://127\.0\.0\.1:\d+/\n", output)
        assert "\x1b" not in output, "there is no terminal, so there are no colours"
        assert set(pids(folder)) == {"PostgreSQL", "Valkey", *PROCESSES}
        for name in PROCESSES:
            environment = psutil.Process(pids(folder)[name]).environ()
            assert environment["ENGAGE_TRACES_RATIO"] == "0.25", name
            assert environment["ENGAGE_DATABASE_URL"] != variables["ENGAGE_DATABASE_URL"], name

        same_folder = await engage("up", "--data", "there", "--port", str(server_port()), cwd=home)
        same_port = await engage("up", "--data", "elsewhere", "--port", str(port), cwd=home)
        refused, _ = await same_folder.communicate()
        taken, _ = await same_port.communicate()
        assert (same_folder.returncode, same_port.returncode) == (1, 1)
        assert refused.decode() == (
            f"engage: {folder} is in use by the running program with pid {running.pid}\n"
        )
        assert taken.decode() == (
            f"engage: cannot listen on 127.0.0.1 port {port}: Address already in use; try another --port\n"
        )

        before = pids(folder)
        for name in PROCESSES:
            os.kill(before[name], signal.SIGKILL)
        await eventually(
            lambda: not set(before.values()) & {pids(folder).get(name, before[name]) for name in PROCESSES},
            RESTARTED_S,
        )
        await eventually(lambda: health(port) == 200, RESTARTED_S)

        for name in PROCESSES:
            os.kill(pids(folder)[name], signal.SIGSTOP)
        before = pids(folder)
        await eventually(
            lambda: not set(before.values()) & {pids(folder).get(name, before[name]) for name in PROCESSES},
            SUSPENDED_S,
        )
        await eventually(lambda: health(port) == 200, RESTARTED_S)

        processes = family(running.pid)
        assert len(processes) >= len(PROCESSES) + 2
        running.send_signal(signal.SIGTERM)
        async with asyncio.timeout(STOP_S):
            assert await running.wait() == 0
        assert [pid for pid in processes if is_running(pid)] == []
        assert not (folder / "run.json").exists()


async def test_on_a_signal_new_processes_serve_before_the_old_ones_stop(home: Path) -> None:
    port = server_port()
    folder = home / "there"
    answers: list[int] = []
    async with up(home, port) as (running, _):
        before = pids(folder)

        def replaced() -> bool:
            answers.append(health(port, "/health/live"))
            now = pids(folder)
            are_new = all(now.get(name, before[name]) != before[name] for name in PROCESSES)
            return are_new and len(answers) > 10

        running.send_signal(signal.SIGUSR2)
        await eventually(replaced, RESTARTED_S)
        await eventually(lambda: not any(is_running(before[name]) for name in PROCESSES), RESTARTED_S)
        assert set(answers) == {200}
        assert health(port) == 200
        assert {name: pids(folder)[name] for name in ("PostgreSQL", "Valkey")} == {
            name: before[name] for name in ("PostgreSQL", "Valkey")
        }


def used_by_children() -> float:
    """Return the seconds of processors that children of this process have used, which have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def change_rules_of_a_preset(folder: Path) -> None:
    """Make a published preset that of an older release."""
    db = await connect_to(folder)
    try:
        await db.execute("ALTER TABLE program_versions DISABLE TRIGGER program_versions_stays")
        await db.execute(
            "UPDATE program_versions SET document = replace(document, 'points = 2500', 'points = 2400')"
            " WHERE program_id = 'in-mi-tokens'"
        )
    finally:
        await db.close()


async def test_after_a_kill_it_starts_again_and_leaves_no_process(home: Path) -> None:
    port = server_port()
    began = time.monotonic()
    async with up(home, port) as (running, _):
        first_s = time.monotonic() - began
        processes = family(running.pid)
        await change_rules_of_a_preset(home / "there")
        # It cannot stop then, before the next run lets it.
        os.kill(pids(home / "there")["PostgreSQL"], signal.SIGSTOP)
        running.kill()
        await running.wait()
        began = time.monotonic()
        async with up(home, port) as (again, shown):
            # A busy machine is slow both times, and the first time there is more to do.
            assert time.monotonic() - began < max(SECOND_RUN_S, first_s)
            assert health(port) == 200
            assert "in-mi-tokens 2017 has the rules of an older release" in shown
            assert f"engage program upgrade --data {home / 'there'}" in shown.replace("\n", "")
            async with httpx.AsyncClient() as client:
                ready = (await client.get(f"http://127.0.0.1:{port}/health/ready")).json()
            notices = [(notice["code"], notice["program"]) for notice in ready["notices"]]
            assert (ready["status"], notices) == ("up", [("older_preset", "in-mi-tokens")])
            assert [pid for pid in processes if is_running(pid)] == []
            processes = family(again.pid)
            again.send_signal(signal.SIGINT)
            async with asyncio.timeout(STOP_S):
                assert await again.wait() == 0
            assert [pid for pid in processes if is_running(pid)] == []


async def test_help_is_fast_and_names_every_command(home: Path) -> None:
    began, before = time.monotonic(), used_by_children()
    helping = await engage("--help", cwd=home)
    output, _ = await helping.communicate()
    assert helping.returncode == 0
    for name in ("up", "api", "feed", "worker", "migrate", "program", "audit", "rebuild", "bench", "keys"):
        assert re.search(rf"^│ {name} ", output.decode(), re.MULTILINE), name
    # Half a second on a quiet machine. Other tests may run.
    assert time.monotonic() - began < 2
    assert used_by_children() - before < 2


async def test_a_process_without_its_environment_names_the_missing_variables(home: Path) -> None:
    process = await engage("api", cwd=home)
    output, _ = await process.communicate()
    assert process.returncode == 1
    assert output.decode().startswith("engage: not set: ENGAGE_DATABASE_URL, ENGAGE_STATE_URL")


async def test_migrating_a_missing_database_is_refused_in_one_line(servers: Settings, home: Path) -> None:
    elsewhere = msgspec.structs.replace(
        servers, database_url=servers.database_url.replace("/engage?", "/elsewhere?")
    )
    migrating = await engage("migrate", cwd=home, **to_environment(elsewhere))
    output, _ = await migrating.communicate()
    assert migrating.returncode == 1
    assert output.decode().endswith('database "elsewhere" does not exist\n')
    assert output.decode().count("\n") == 1
