"""The sandbox's clock is advanced past holds, coupons and lots: each ends at its own instant, in order."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from engage.flows.operations.audit import audit
from engage.flows.scheduled.advance_clock import advance_clock
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.checkout import (
    HOLD_FOR,
    balance,
    close_hold,
    hold_request,
    member_with_points,
    place_hold,
    redeem_reward,
    services_with_checkout,
)
from tests.support.clock import running_clock
from tests.support.database import rows


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    """Services with a running clock, as in the sandbox."""
    async with services_with_checkout(settings, running_clock()) as opened:
        yield opened


async def test_holds_coupons_and_lots_end_in_order(services: Services, settings: Settings) -> None:
    await member_with_points(services, 300)
    codes = [(await redeem_reward(services, "one_euro")).issued.code for _ in range(2)]
    placed = await place_hold(services, hold_request(points=40, coupon_codes=codes[:1]))
    await advance_clock(services, by=HOLD_FOR - timedelta(minutes=1))
    assert await balance(services) == (60, 40, 0)
    other = await place_hold(services, hold_request("o-2", points=60))
    await advance_clock(services, by=timedelta(minutes=2))
    assert await balance(services) == (40, 60, 0), "the first is over, the second is not"
    await close_hold(services, other, "captured")
    await advance_clock(services, by=timedelta(days=40))
    assert await balance(services) == (0, 0, 0)
    holds = await rows(
        services.db, "SELECT id, state, closed_at = expires_at FROM holds WHERE purpose = 'checkout'"
    )
    assert set(holds) == {(placed.hold_id, "expired", True), (other.hold_id, "captured", False)}
    coupons = await rows(services.db, "SELECT state, closed_at = expires_at FROM coupons")
    assert coupons == [("expired", True)] * 2, "the released one too"
    entries = await rows(services.db, "SELECT kind, at FROM entries ORDER BY seq")
    kinds = [kind for kind, _ in entries if kind not in ("earning", "redemption")]
    assert kinds == ["hold", "hold", "release", "capture", "expiration"]
    times = [at for _, at in entries if isinstance(at, datetime)]
    assert all(earlier <= later for earlier, later in pairwise(times))
    assert (await audit(settings)).broken == []
