"""The published programs in memory."""

import pytest

from engage.runtime.program_cache import ProgramCache
from engage.settings import Settings
from tests.support.activities import FIRST, PROGRAM
from tests.support.programs import services_with


async def test_a_version_that_another_process_has_published_is_read(settings: Settings) -> None:
    async with services_with(settings, FIRST) as services:
        (published,) = services.programs.versions(PROGRAM)
        cache = ProgramCache()
        assert cache.versions(PROGRAM) == []
        assert await cache.version(services.db, PROGRAM, published.version) == published
        with pytest.raises(AssertionError):
            await cache.version(services.db, PROGRAM, "another")
