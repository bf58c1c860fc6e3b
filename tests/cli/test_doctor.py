"""`engage doctor` as an operator at a terminal sees it."""

import os
import signal
from pathlib import Path

import msgspec

from tests.support.command_line import engage, health, pids, up
from tests.support.eventually import eventually
from tests.support.ports import server_port

READY_S = 60.0


async def doctor(cwd: Path, *arguments: str, **environment: str) -> tuple[int | None, str]:
    running = await engage("doctor", *arguments, cwd=cwd, **environment)
    output, _ = await running.communicate()
    return running.returncode, output.decode()


async def test_a_healthy_installation_has_nothing_to_do_and_a_broken_one_is_explained(tmp_path: Path) -> None:
    status, said = await doctor(tmp_path, "--data", "there")
    assert (status, "is not a data folder of engage" in said) == (1, True)

    port = server_port()
    folder = tmp_path / "there"
    async with up(tmp_path, port):
        await eventually(lambda: health(port) == 200, READY_S)
        status, said = await doctor(tmp_path, "--data", "there")
        assert (status, said.strip().splitlines()[-1][:13]) == (0, "nothing to do"), said
        secrets = (folder / "sandbox.json").read_text() if (folder / "sandbox.json").exists() else ""
        pepper = msgspec.json.decode(secrets).get("pepper", "") if secrets else ""
        assert not pepper or pepper not in said

        os.kill(pids(folder)["Valkey"], signal.SIGSTOP)
        try:
            status, said = await doctor(tmp_path, "--data", "there", "--json")
        finally:
            os.kill(pids(folder)["Valkey"], signal.SIGCONT)
        document = msgspec.json.decode(said)
        assert (status, document["worst"]) == (2, "error")
        away = [each["sentence"] for each in document["findings"] if each["check"] == "server_away"]
        assert len(away) == 3, said
        assert "process_missing" in document["not_checked"]

    status, said = await doctor(tmp_path, "--data", "there")
    assert status == 2
    assert "does not run" in said


async def test_without_servers_every_mistake_of_the_environment_is_said(tmp_path: Path) -> None:
    status, said = await doctor(
        tmp_path, ENGAGE_STATE_URL="redis://127.0.0.1:1/0", ENGAGE_TOPICS="redis://:secret-value@host/"
    )
    assert status == 2
    for part in (
        "ENGAGE_DATABASE_URL does not fit: it is not set",
        "ENGAGE_TOPICS is set, and no setting has this name",
        "rename it to ENGAGE_TOPICS_URL",
        "The Valkey of the state does not answer",
        "checks could not be made",
    ):
        assert part in said, said
    assert "secret-value" not in said
