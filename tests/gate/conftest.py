"""A gate on an empty Valkey."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from engage.gate.client import Gate, open_gate
from engage.settings import Settings


@pytest.fixture
async def gate(servers: Settings, valkey: Redis) -> AsyncIterator[Gate]:
    opened = open_gate(servers.state_url)
    yield opened
    await opened.close()
