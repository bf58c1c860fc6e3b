"""A program in which an order of a friend pays the advocate, and joining pays the friend."""

from collections.abc import AsyncIterator

import pytest

from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.audit import assert_audit_is_clean
from tests.support.referrals import services_with_referrals


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    """The audit must be clean after each test."""
    async with services_with_referrals(settings) as opened:
        yield opened
        await assert_audit_is_clean(opened)
