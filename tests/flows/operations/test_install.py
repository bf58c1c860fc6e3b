"""Preparing an installation, for the first time and again."""

import pytest
import structlog

from engage import programs
from engage.domain.program import parse
from engage.flows.operations.install import install
from engage.flows.programs.publish import publish
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
    assert [name for (name,) in published] == programs.names()


async def test_published_presets_are_not_played_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await install(settings)
    monkeypatch.setattr(parse, "parse", pytest.fail)
    await install(settings)


async def test_a_document_published_by_an_earlier_release_stays(settings: Settings) -> None:
    text = programs.text("eu-mi-points/2022").replace("Join Mi Points", "Join us")
    async with open_services(settings, StoppedClock(NOON)) as services:
        await publish(services.db, text, source="earlier", now=NOON)
        with structlog.testing.capture_logs() as logs:
            await install(settings)
        kept = await rows(
            services.db, "SELECT document FROM program_versions WHERE version = '2022' ORDER BY program_id"
        )
    assert kept == [(text,)]
    assert [(log["log_level"], log["version"]) for log in logs if "version" in log] == [("warning", "2022")]
