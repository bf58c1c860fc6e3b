"""Services with open withdrawals, one member with 100 points, and a provider."""

from collections.abc import AsyncIterator

import pytest

from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.audit import assert_audit_is_clean
from tests.support.withdrawals import FakeProvider, join, services_with_withdrawals


@pytest.fixture
def bank() -> FakeProvider:
    return FakeProvider()


@pytest.fixture
async def services(settings: Settings, bank: FakeProvider) -> AsyncIterator[Services]:
    """The audit must be clean after each test."""
    async with services_with_withdrawals(settings, bank) as opened:
        await join(opened)
        yield opened
        await assert_audit_is_clean(opened)
