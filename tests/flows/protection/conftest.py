"""Two processes with a program that has velocity rules."""

from collections.abc import AsyncIterator

import pytest

from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.programs import services_with
from tests.support.protection import guarded_services


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with guarded_services(settings) as opened:
        yield opened


@pytest.fixture
async def other(settings: Settings, services: Services) -> AsyncIterator[Services]:
    async with services_with(settings, clock=services.clock) as opened:
        yield opened
