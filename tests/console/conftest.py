"""One console for the tests of a file, with the preset programs. Each test has its own operators."""

from collections.abc import AsyncIterator

import pytest

from engage.settings import Settings
from tests.console.browsing import Browsing, browsing
from tests.support.clock import NOON, StoppedClock


@pytest.fixture(scope="module")
def installed(module_installed: Settings) -> Settings:
    return module_installed


@pytest.fixture(scope="module")
async def console(installed: Settings) -> AsyncIterator[Browsing]:
    """An open console whose clock stands at NOON, a Saturday in November."""
    async with browsing(installed, StoppedClock(NOON)) as opened:
        yield opened
