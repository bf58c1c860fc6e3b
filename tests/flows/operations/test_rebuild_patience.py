"""A rebuild waits for a server that is silent for a while, and gives up one that stays silent."""

from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from msgspec.structs import replace

from engage.domain.refusals import Unavailable
from engage.flows.operations import rebuild as rebuilding
from engage.flows.operations.rebuild import rebuild
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.activities import PROGRAM, join, perform, services_with_activities, social
from tests.support.valkey import OwnValkey, own_valkey

MEMBERS = [f"m-{n}" for n in range(5)]


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[OwnValkey]:
    async with own_valkey(tmp_path) as server:
        yield server


@pytest.fixture
async def services(settings: Settings, valkey: OwnValkey) -> AsyncIterator[Services]:
    """Services whose gate is on a Valkey of its own, with members who have used a limit."""
    own = replace(settings, state_url=f"redis://127.0.0.1:{valkey.port}/0")
    async with services_with_activities(own) as opened:
        for member in MEMBERS:
            await join(opened, member)
            await perform(opened, social(), member)
        await opened.post_commit.drain()
        yield opened


async def test_a_rebuild_goes_on_when_valkey_answers_again(
    services: Services, valkey: OwnValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilding, "MEMBERS_PER_BATCH", 1)
    monkeypatch.setattr(rebuilding, "PAUSE_S", 0.0)
    missed: list[str] = []
    with ExitStack() as silence:

        def fall_silent(step: str, done: int, _total: int) -> None:
            if (step, done) == ("members", 1):
                silence.enter_context(valkey.hung())

        def answer_again(part: str) -> None:
            missed.append(part)
            silence.close()

        rebuilt = await rebuild(services, on_progress=fall_silent, on_waiting=answer_again)
    assert missed == ["valkey"]
    assert (rebuilt.members, rebuilt.loaded) == (len(MEMBERS), len(MEMBERS))
    for member in MEMBERS:
        assert await services.gate.read(PROGRAM, member), f"{member} has used a limit, and the gate knows it"


async def test_a_rebuild_gives_up_a_valkey_that_stays_silent(
    services: Services, valkey: OwnValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilding, "PATIENCE_S", 0.0)
    with valkey.hung(), pytest.raises(Unavailable) as given_up:
        await rebuild(services)
    assert given_up.value.facts["part"] == "valkey"


async def test_a_rebuild_does_not_wait_for_tables_of_another_release(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def other_tables(*_: object) -> None:
        raise Unavailable("schema")

    waited: list[str] = []
    monkeypatch.setattr(services.programs, "refresh", other_tables)
    with pytest.raises(Unavailable):
        await rebuild(services, on_waiting=waited.append)
    assert waited == []
