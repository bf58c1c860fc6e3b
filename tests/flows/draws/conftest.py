"""Two processes with a program that has draws. The audit must be clean after each test."""

from collections.abc import AsyncIterator

import pytest

from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.audit import assert_audit_is_clean
from tests.support.draws import services_with_draws
from tests.support.programs import services_with


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with services_with_draws(settings) as opened:
        yield opened
        await assert_audit_is_clean(opened)


@pytest.fixture
async def other(settings: Settings, services: Services) -> AsyncIterator[Services]:
    async with services_with(settings, clock=services.clock) as opened:
        yield opened
