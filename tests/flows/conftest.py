"""Two processes with the program playground published."""

from collections.abc import AsyncIterator

import pytest

from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.activities import services_with_activities
from tests.support.programs import services_with


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with services_with_activities(settings) as opened:
        yield opened


@pytest.fixture
async def other(settings: Settings, services: Services) -> AsyncIterator[Services]:
    """A second process with the same servers and clock, and separate caches."""
    async with services_with(settings, clock=services.clock) as opened:
        yield opened
