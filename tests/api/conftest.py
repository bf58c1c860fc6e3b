"""One API for the tests of a file, with the preset programs. Each test has its own members."""

from collections.abc import AsyncIterator

import pytest

from engage.settings import Settings
from tests.api.calling import Calling, calling
from tests.support.clock import NOON, StoppedClock


@pytest.fixture(scope="module")
def installed(module_installed: Settings) -> Settings:
    return module_installed


@pytest.fixture(scope="module")
async def api(installed: Settings) -> AsyncIterator[Calling]:
    """An open API whose clock stands at NOON, a Saturday in November."""
    async with calling(installed, StoppedClock(NOON)) as opened:
        yield opened
