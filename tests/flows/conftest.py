"""A process that plays in the playground, and another one beside it."""

from collections.abc import AsyncIterator

import pytest

from engage.runtime.services import Parts
from engage.settings import Settings
from tests.support.playing import playing


@pytest.fixture
async def parts(settings: Settings) -> AsyncIterator[Parts]:
    async with playing(settings) as opened:
        yield opened


@pytest.fixture
async def other(settings: Settings, parts: Parts) -> AsyncIterator[Parts]:
    """As a second API would be: the same servers and time, memory of its own."""
    async with playing(settings, parts.clock) as opened:
        yield opened
