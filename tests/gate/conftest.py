"""A gate on an empty Valkey, standalone and a Cluster."""

from collections.abc import AsyncIterator

import pytest

from engage.connections.servers import Servers
from engage.gate.client import Gate, open_gate


@pytest.fixture
async def gate(state_url: str, state: Servers) -> AsyncIterator[Gate]:
    opened = open_gate(state_url)
    yield opened
    await opened.close()
