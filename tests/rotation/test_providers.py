"""Secrets of other parties are rotated while payouts and sign-ins go on: none fails."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from msgspec.structs import replace

from engage.domain.withdrawals.withdrawal import Accepted, NotSent
from engage.live_settings import LiveSettings
from engage.payouts.port import Payout, PayoutProvider
from engage.runtime.payout_provider import open_provider
from engage.settings import Settings
from tests.payouts.momo_server import KEY, SUBSCRIPTION, Momo, momo
from tests.support.rotation import traffic, write_secret

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
NAMES = ("momo_key", "momo_subscription_key")


@asynccontextmanager
async def paying(server: Momo, settings: Settings, folder: Path) -> AsyncIterator[PayoutProvider]:
    """A provider whose secrets are in files, named as their settings."""
    settings = server.settings(settings)
    for name in NAMES:
        write_secret(folder / name, getattr(settings, name))
    live = LiveSettings(replace(settings, secret_files={name: folder / name for name in NAMES}))
    provider = open_provider(live)
    assert provider is not None
    yield provider
    await provider.close()


async def test_keys_of_mobile_money_are_rotated(servers: Settings, tmp_path: Path) -> None:
    async with momo() as server, paying(server, servers, tmp_path) as provider:

        async def pay() -> None:
            payout = Payout(uuid4(), 6_000, "XOF", "+22670123456", AT)
            assert await provider.send(payout, at=AT) == Accepted()

        async with traffic(pay) as calls:
            await calls.goes_on()
            write_secret(tmp_path / "momo_key", "key-2", KEY)
            await calls.goes_on()
            server.keys = {"key-2"}
            server.subscriptions.add("subscription-2")
            write_secret(tmp_path / "momo_key", "key-2")
            write_secret(tmp_path / "momo_subscription_key", "subscription-2")
            await calls.goes_on()
            server.subscriptions.remove(SUBSCRIPTION)
            await calls.goes_on()
        write_secret(tmp_path / "momo_key", KEY)
        late = await provider.send(Payout(uuid4(), 6_000, "XOF", "+22670123456", AT), at=AT)
        assert isinstance(late, NotSent)
