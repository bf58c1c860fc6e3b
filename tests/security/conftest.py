"""One API for the tests of a file, with two programs more than the presets."""

from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from engage.flows.programs.publish import publish
from engage.settings import Settings
from tests.api.calling import Calling, calling
from tests.support import checkout
from tests.support.clock import NOON, StoppedClock
from tests.support.withdrawals import OPEN
from tests.support.withdrawals import document as market_document


@pytest.fixture(scope="module")
async def api(module_installed: Settings) -> AsyncIterator[Calling]:
    """Without limits of keys and members: these tests ask much."""
    unlimited = replace(module_installed, limit_member="", limit_key="")
    async with calling(unlimited, StoppedClock(NOON)) as opened:
        for text in (market_document(OPEN), checkout.DOCUMENT):
            await publish(
                opened.services.db, text, source="test", operator="test", clock=opened.services.clock
            )
        await opened.services.programs.refresh(opened.services.db)
        yield opened
