"""Preparing an installation, for the first time and again."""

from datetime import datetime

import pytest
import structlog
from alembic import command
from alembic.config import Config
from msgspec.structs import replace
from sqlalchemy import text

from engage import programs
from engage.domain.draws.definition import Draw
from engage.domain.draws.kind import DRAW
from engage.domain.program import parse
from engage.flows.campaigns.campaign import document_of, read_campaign
from engage.flows.campaigns.change import change
from engage.flows.campaigns.presets import AUTHOR
from engage.flows.definitions.change import add_definition
from engage.flows.members.register import MemberRegistration, register_member
from engage.flows.operations.install import install, migrate
from engage.flows.programs.publish import publish
from engage.programs import campaigns as preset_campaigns
from engage.runtime.database import open_database
from engage.runtime.services import open_services
from engage.settings import Settings
from tests.support.campaigns import operator
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


async def test_a_draw_of_the_demo_store_may_close_at_a_local_time(settings: Settings) -> None:
    await install(settings)
    async with open_services(settings, StoppedClock(NOON)) as services:
        await services.programs.refresh(services.db)
        draw = Draw(
            id="spring",
            program=programs.DEMO_STORE,
            title={"en": "Spring"},
            opens_at=datetime.fromisoformat("2099-01-01T00:00:00"),
            closes_at=datetime.fromisoformat("2099-02-01T00:00:00"),
            winners=1,
            points=5,
        )
        await add_definition(services, DRAW, draw, operator="marketer")
        await install(settings)
        kept = await rows(services.db, "SELECT id FROM definitions WHERE id LIKE 'fans-%'")
    assert len(kept) == 1


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


PRESET_CAMPAIGNS = (
    "SELECT program_id || '/' || campaign_id, version, authors, approved FROM campaign_versions"
)


async def test_preset_campaigns_are_drafts_that_are_added_once(settings: Settings) -> None:
    for _ in range(2):
        await install(settings)
    async with open_services(settings, StoppedClock(NOON)) as services:
        found = await rows(services.db, PRESET_CAMPAIGNS)
        assert found == [(name, 1, [AUTHOR.name], False) for name in preset_campaigns.names()]
        actions = await rows(services.db, "SELECT kind, operator FROM campaign_actions")
        assert set(actions) == {("created", AUTHOR.name)}
        logged = "SELECT DISTINCT operator, action FROM audit_log WHERE subject LIKE 'campaign:%'"
        assert await rows(services.db, logged) == [(AUTHOR.name, "created")]
        key = "eu-mi-points", "double-points"
        await services.programs.refresh(services.db)
        async with services.db.begin() as conn:
            stored = await read_campaign(services, conn, key)
        changed = replace(document_of(stored.newest), title={"en": "Ours"})
        await change(services, changed, expected=(1, 1), operator=operator("marketer"))
        await install(settings)
        query = "SELECT document -> 'title' ->> 'en' FROM campaign_versions WHERE campaign_id = :id"
        assert await rows(services.db, query, id=key[1]) == [("Ours",)]


async def test_a_preset_campaign_that_does_not_fit_is_left_out(settings: Settings) -> None:
    """An operator has a draw with the id of the preset's."""
    async with open_services(settings, StoppedClock(NOON)) as services:
        document = programs.text("in-mi-tokens/2017")
        await publish(services.db, document, source="tokens", operator="test", clock=services.clock)
        await services.programs.refresh(services.db)
        draw = replace(preset_campaigns.read("in-mi-tokens/rewardmi").draws[0], program="in-mi-tokens")
        await add_definition(services, DRAW, draw, operator="marketer")
        with structlog.testing.capture_logs() as logs:
            await install(settings)
        found = await rows(services.db, "SELECT campaign_id FROM campaign_versions ORDER BY 1")
    assert [id_ for (id_,) in found] == ["double-points", "members-week-2022"]
    (left_out,) = [log for log in logs if "problems" in log]
    assert left_out["preset"] == "in-mi-tokens/rewardmi"
    assert "draws[0].id" in left_out["problems"][0]
