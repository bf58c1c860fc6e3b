"""The published programs in memory."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from engage.clock import Clock
from engage.domain.refusals import Unavailable
from engage.flows.programs.publish import publish
from engage.runtime import program_cache
from engage.runtime.database import open_database
from engage.runtime.program_cache import KNOWN_FOR, ProgramCache
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.activities import FIRST, PROGRAM
from tests.support.programs import services_with
from workers import jobs


async def test_a_version_that_another_process_has_published_is_read(settings: Settings) -> None:
    async with services_with(settings, FIRST) as services:
        (published,) = services.programs.versions(PROGRAM)
        cache = ProgramCache(services.clock)
        assert cache.versions(PROGRAM) == []
        assert await cache.version(services.db, PROGRAM, published.version) == published
        with pytest.raises(AssertionError):
            await cache.version(services.db, PROGRAM, "another")


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with services_with(settings, FIRST) as opened:
        yield opened


async def test_versions_are_out_of_date_a_while_after_they_were_read(services: Services) -> None:
    shown_us = 0
    cache = ProgramCache(Clock(steady=lambda: shown_us))
    with pytest.raises(Unavailable):
        cache.check()
    await cache.refresh(services.db)
    for _ in range(2):  # Read again, though nothing has changed.
        shown_us += KNOWN_FOR // timedelta(microseconds=1)
        cache.check()
        shown_us += 1
        with pytest.raises(Unavailable):
            cache.check()
        await cache.refresh(services.db)
        cache.check()


async def test_a_read_that_failed_does_not_count(services: Services, settings: Settings) -> None:
    cache = ProgramCache(services.clock)
    nowhere = open_database(settings.database_url.replace("test_", "missing_"), pool_size=1)
    with pytest.raises(Unavailable):
        await cache.refresh(nowhere)
    await nowhere.dispose()
    assert cache.is_out_of_date


async def test_a_worker_that_was_suspended_reads_the_versions_before_it_works(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = FIRST.replace('version = "first"', 'version = "newer"').replace("2020-01-01", "2026-12-01")
    await publish(services.db, newer, source="test", operator="test", clock=services.clock)
    monkeypatch.setattr(program_cache, "KNOWN_FOR", timedelta(seconds=-1))
    await jobs.react({"services": services})
    assert [version.version for version in services.programs.versions(PROGRAM)] == ["first", "newer"]
