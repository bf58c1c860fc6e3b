"""Nothing that falls due is done early, whatever clock the process that does it has."""

from datetime import timedelta

import msgspec
from sqlalchemy import text

from engage.clock import MachineClock
from engage.flows.scheduled.due_work import DUE_WORK
from engage.flows.scheduled.expire import expire_together
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.settings import Settings
from engage.store.withdrawals.withdrawals import lock_due
from tests.support.checkout import (
    balance,
    hold_request,
    member_with_points,
    place_hold,
    redeem_reward,
    services_with_checkout,
)
from tests.support.clock import DAY, FAR_NOON, LyingClock
from tests.support.database import rows
from tests.support.withdrawals import FakeProvider, join, request_withdrawal, services_with_withdrawals

NOT_AHEAD = timedelta()


async def _ended(services: Services) -> tuple[object, ...]:
    (found,) = await rows(
        services.db,
        "SELECT (SELECT count(*) FROM lots WHERE expired > 0),"
        " (SELECT count(*) FROM holds WHERE state = 'expired'),"
        " (SELECT count(*) FROM coupons WHERE state = 'expired')",
    )
    return found


async def test_a_worker_whose_clock_is_far_ahead_ends_nothing_early(settings: Settings) -> None:
    real = msgspec.structs.replace(settings, sandbox=None)
    async with (
        services_with_checkout(real, MachineClock()) as right,
        services_with_checkout(real, LyingClock(40 * DAY)) as wrong,
    ):
        await member_with_points(right, 300)
        await redeem_reward(right, "one_euro")
        await place_hold(right, hold_request(points=50))
        before = await balance(right)
        for work in DUE_WORK:
            assert await work.do(wrong, now=wrong.clock.now(), on_time=False) == 0, work.name
        assert await expire_together(wrong) == 0
        assert (await balance(right), await _ended(right)) == (before, (0, 0, 0))
        for work in DUE_WORK:
            await work.do(wrong, now=wrong.clock.now(), on_time=True)
        assert await _ended(right) == (2, 1, 1), "the sandbox's clock passes over all of them"


async def test_a_payout_is_asked_about_by_the_database_s_clock(settings: Settings) -> None:
    async with services_with_withdrawals(settings, FakeProvider()) as services:
        await join(services)
        await request_withdrawal(services)
        async with transaction(services.db) as conn:
            await conn.execute(text("UPDATE withdrawals SET ask_at = statement_timestamp() + interval '1 h'"))
            assert not await lock_due(conn, now=FAR_NOON, ahead=NOT_AHEAD, on_time=False, limit=9)
            assert await lock_due(conn, now=FAR_NOON, ahead=2 * timedelta(hours=1), on_time=False, limit=9)
            assert await lock_due(conn, now=FAR_NOON, ahead=NOT_AHEAD, on_time=True, limit=9)
