"""Preparing an installation, for the first time and again."""

import pytest
import structlog
from alembic import command
from alembic.config import Config
from sqlalchemy import text

from engage import programs
from engage.domain.program import parse
from engage.flows.members.register import MemberRegistration, register_member
from engage.flows.operations.install import install, migrate
from engage.flows.programs.publish import publish
from engage.runtime.database import open_database
from engage.runtime.services import open_services
from engage.settings import Settings
from tests.support.clock import NOON, StoppedClock
from tests.support.database import rows


async def test_presets_are_published_once_however_often_it_is_installed(settings: Settings) -> None:
    for _ in range(2):
        await install(settings)
    async with open_services(settings, StoppedClock(NOON)) as services:
        published = await rows(
            services.db, "SELECT program_id || '/' || version FROM program_versions ORDER BY 1"
        )
    assert [name for (name,) in published] == sorted([*programs.names(), "demo-store/2026"])


async def test_the_demo_store_has_one_open_draw_however_often_it_is_installed(settings: Settings) -> None:
    draws = "SELECT document ->> 'closes_at' FROM definitions WHERE program_id = 'demo-store' ORDER BY 1"
    for _ in range(2):
        await install(settings)
    async with open_services(settings, StoppedClock(NOON)) as services:
        ((closes_at,),) = await rows(services.db, draws)
        async with services.db.begin() as conn:
            await conn.execute(text("UPDATE sandbox_clock SET ahead = ahead + interval '3 days'"))
        await install(settings)
        first, _ = await rows(services.db, draws)
        assert first == (closes_at,)


async def test_published_presets_are_not_played_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await install(settings)
    monkeypatch.setattr(parse, "parse", pytest.fail)
    await install(settings)


async def test_a_document_published_by_an_earlier_release_stays(settings: Settings) -> None:
    document = programs.text("by-mi-bonus/2024").replace('title = "Покупка', 'title = "Любая покупка')
    async with open_services(settings, StoppedClock(NOON)) as services:
        await publish(services.db, document, source="earlier", operator="test", clock=services.clock)
        with structlog.testing.capture_logs() as logs:
            await install(settings)
        kept = await rows(
            services.db, "SELECT document FROM program_versions WHERE program_id = 'by-mi-bonus'"
        )
    assert kept == [(document,)]
    assert [(log["log_level"], log["version"]) for log in logs if "version" in log] == [("warning", "2024")]


async def test_a_version_that_is_new_in_a_release_does_not_begin_for_members_unasked(
    settings: Settings,
) -> None:
    async with open_services(settings, StoppedClock(NOON)) as services:
        for name in ("eu-mi-points/2020", "eu-mi-points/2022"):
            await publish(
                services.db, programs.text(name), source="earlier", operator="test", clock=services.clock
            )
        await services.programs.refresh(services.db)
        joining = MemberRegistration(
            member_id="m-1", program="eu-mi-points", country="GB", person_ref="a person of London"
        )
        await register_member(services, joining)
        older = await install(settings)
        versions = await rows(
            services.db,
            "SELECT version FROM program_versions WHERE program_id = 'eu-mi-points' ORDER BY version",
        )
    assert versions == [("2020",), ("2022",)]
    assert [(preset.version, preset.preset) for preset in older] == [("2022", "eu-mi-points/2025")]


async def test_a_migration_may_take_longer_than_a_request(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def upgrade(config: Config, _revision: str) -> None:
        config.attributes["connection"].execute(text("SELECT pg_sleep(0.5)"))

    defaults = open_database.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "command_timeout_s", 0.1)
    monkeypatch.setattr(command, "upgrade", upgrade)
    await migrate(settings)
