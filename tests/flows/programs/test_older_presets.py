"""Presets of an older release are found, compared, and upgraded without changing what was in force."""

from datetime import date

import pytest

from engage import programs
from engage.domain.program import parse
from engage.flows.operations.install import install
from engage.flows.programs.older_presets import Upgrade, older_presets, upgrades
from engage.flows.programs.publish import publish
from engage.runtime.database import one_statement
from engage.runtime.services import Services, open_services
from engage.settings import Settings
from engage.store import programs as store
from engage.store.programs import PublishedVersion
from tests.support.clock import NOON, StoppedClock

PRESET = "in-mi-tokens/2017"
OLDER = programs.text(PRESET).replace("points = 2500\n", "points = 2400\n")


def published(document: str, version: str = "2017") -> PublishedVersion:
    return PublishedVersion("in-mi-tokens", version, document)


def found(*documents: str) -> list[Upgrade]:
    versions = [parse.read(document, source="test").version for document in documents]
    return upgrades([published(*one) for one in zip(documents, versions, strict=True)], now=NOON)


def test_a_preset_is_not_older_than_itself() -> None:
    newest = [name for name in programs.names() if name not in ("eu-mi-points/2020", "eu-mi-points/2022")]
    assert older_presets(map(programs.read, newest)) == []
    with_comment = f"# Of an older release.\n{programs.text(PRESET)}"
    assert found(with_comment) == [], "comments are no rules"


def test_an_older_preset_is_upgraded_by_another_version_that_begins_tomorrow() -> None:
    (upgrade,) = found(OLDER)
    assert (upgrade.older.version, upgrade.version) == ("2017", "2017-r2")
    assert upgrade.in_force_from == date(2026, 11, 22)
    changed = [line for line in upgrade.differences if line.startswith(("-points", "+points"))]
    assert changed == ["-points = 2400", "+points = 2500"]
    document = parse.parse(upgrade.document, source="upgrade")
    assert document.rewards == programs.read(PRESET).rewards


def test_an_upgraded_program_is_not_older() -> None:
    (upgrade,) = found(OLDER)
    assert found(OLDER, upgrade.document) == []


def test_an_upgrade_of_a_later_release_follows_the_last_one() -> None:
    again = OLDER.replace('version = "2017"', 'version = "2017-r2"')
    again = again.replace("in_force_from = 2017-06-15", "in_force_from = 2027-03-01")
    (upgrade,) = found(OLDER, again)
    assert (upgrade.version, upgrade.in_force_from) == ("2017-r3", date(2027, 3, 2))


def test_a_program_of_its_own_is_nobodys_older_preset() -> None:
    assert found(OLDER.replace('version = "2017"', 'version = "diwali"')) == []
    assert found(OLDER.replace('id = "in-mi-tokens"', 'id = "in-mi"')) == []


@pytest.mark.parametrize("name", programs.names())
async def test_each_preset_can_be_published_as_an_upgrade(settings: Settings, name: str) -> None:
    program = programs.read(name)
    older = programs.text(name).replace(f'title = "{program.title}"', 'title = "As it was"', 1)
    async with open_services(settings, StoppedClock(NOON)) as services:
        await publish(
            services.db, older, source="older", operator="test", clock=services.clock, past_allowed=True
        )
        if programs.newest(program.id) != name:
            assert (await _stored_upgrades(services))[0].older.preset == programs.newest(program.id)
            return
        (upgrade,) = await _stored_upgrades(services)
        await publish(services.db, upgrade.document, source="upgrade", operator="test", clock=services.clock)
        assert await _stored_upgrades(services) == []
        assert await install(settings) == []


async def _stored_upgrades(services: Services) -> list[Upgrade]:
    async with one_statement(services.db) as conn:
        return upgrades(await store.read_all(conn), now=services.clock.now())
