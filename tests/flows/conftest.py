"""A process that plays in the playground, and another one beside it."""

from collections.abc import AsyncIterator

import pytest

from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.activities import services_with_activities


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with services_with_activities(settings) as opened:
        yield opened


@pytest.fixture
async def other(settings: Settings, services: Services) -> AsyncIterator[Services]:
    """As a second API would be: the same servers and time, memory of its own."""
    async with services_with_activities(settings, services.clock) as opened:
        yield opened
