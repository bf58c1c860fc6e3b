"""Floods on the feed: messages, sizes and connections are bounded."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from redis.asyncio import Redis
from websockets.exceptions import InvalidStatus

from engage.feed.messages import Ping
from engage.feed.run import _wait_of
from engage.feed.session import MESSAGE_S, MESSAGES, POLICY, Close, Session, Timeouts
from engage.live_settings import LiveSettings
from engage.runtime.origins import Origins
from engage.runtime.rate_limits import RateLimits
from engage.settings import Settings
from tests.feed.feeds import running_feed


def test_a_client_that_sends_too_much_is_closed() -> None:
    session = Session(100.0, Timeouts())
    session.authenticated(100.0)
    for _ in range(MESSAGES):
        assert not any(isinstance(action, Close) for action in session.received(Ping(), 100.0))
    assert session.received(Ping(), 100.0) == (Close(POLICY, "too many messages"),)


def test_a_client_may_send_for_ever_at_a_steady_pace() -> None:
    session = Session(100.0, Timeouts())
    session.authenticated(100.0)
    for number in range(10 * MESSAGES):
        now = 100.0 + number * MESSAGE_S
        assert not any(isinstance(action, Close) for action in session.received(Ping(), now))


async def test_a_network_connects_only_so_often(valkey: Redis) -> None:
    settings = Settings(
        database_url="",
        state_url="",
        queue_url="",
        topics_url="",
        limit_connections="2/36000",
        trusted_proxies="127.0.0.0/8",
    )
    limits = RateLimits(None, settings)  # type: ignore[arg-type]  # It reports to nobody.
    services: Any = SimpleNamespace(origins=Origins(LiveSettings(settings)), limits=limits)
    async with running_feed(valkey, admit=partial(_wait_of, services)) as running:
        await running.ready()
        for _ in range(2):
            async with running.client("m1", additional_headers=_from("9.9.9.9")):
                pass
        with pytest.raises(InvalidStatus) as refused:
            async with running.client("m1", additional_headers=_from("9.9.9.9")):
                pass
        assert refused.value.response.status_code == 429
        assert int(refused.value.response.headers["retry-after"]) >= 1
        async with running.client("m1", additional_headers=_from("9.9.8.9")):
            pass
        for _ in range(3):  # A private network, in which there may be a proxy.
            async with running.client("m1"):
                pass


def _from(address: str) -> dict[str, str]:
    return {"X-Forwarded-For": address}
