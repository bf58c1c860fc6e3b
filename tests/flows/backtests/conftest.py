"""Two processes with the program of tiers published, and two members. The audit is clean after each test."""

from collections.abc import AsyncIterator

import pytest

from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.audit import assert_audit_is_clean
from tests.support.programs import services_with
from tests.support.tiers import DOCUMENT, join, services_with_tiers


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    document = DOCUMENT.replace("countries.IN", "worth = { points = 10, minor = 5 }\ncountries.IN", 1)
    async with services_with_tiers(settings, document) as opened:
        await join(opened, "m-1")
        await join(opened, "m-2")
        yield opened
        await assert_audit_is_clean(opened)


@pytest.fixture
async def other(settings: Settings, services: Services) -> AsyncIterator[Services]:
    """A second process with the same servers and clock, and separate caches."""
    async with services_with(settings, clock=services.clock) as opened:
        yield opened
