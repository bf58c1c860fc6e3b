"""Services with the shop of `tests.support.challenges`, whose audit is clean after each test."""

from collections.abc import AsyncIterator

import pytest

from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.audit import assert_audit_is_clean
from tests.support.challenges import services_with_challenges
from tests.support.orders import join


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    """Checks after each test that the audit finds nothing."""
    async with services_with_challenges(settings) as opened:
        await join(opened)
        yield opened
        await assert_audit_is_clean(opened)
