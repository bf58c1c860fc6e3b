"""A worker is killed while a referral is being paid: it is approved and paid as a whole, once, or not yet."""

import asyncio
import os
import sys
from pathlib import Path

from sqlalchemy import text

from engage.runtime.services import Services
from engage.settings import Settings, to_environment
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import advance
from tests.support.database import rows
from tests.support.referrals import (
    HOLD,
    invite,
    later,
    order,
    paid_for_referrals,
    referral,
    services_with_referrals,
)

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120.0
LOOK_AGAIN_S = 0.02

# The worker waits for a balance: it has locked the referral, and its credits are about to be written.
_WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


async def kill_while_paying(services: Services) -> None:
    environment = {**os.environ, **to_environment(services.settings)}
    async with services.db.connect() as conn:
        await conn.execute(text("SELECT FROM balances WHERE member_id = 'friend' FOR UPDATE"))
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.durability.settle_referrals_once"),
            services.clock.now().isoformat(),
            cwd=ROOT,
            env=environment,
        )
        async with asyncio.timeout(PATIENCE_S):
            while await rows(services.db, _WAITING) == [(0,)]:
                await asyncio.sleep(LOOK_AGAIN_S)
            worker.kill()
            assert await worker.wait() != 0


async def test_a_referral_is_paid_once_although_a_worker_dies_over_it(settings: Settings) -> None:
    async with services_with_referrals(settings) as services:
        await invite(services)
        await order(services)
        advance(services, HOLD)
        await kill_while_paying(services)
        assert (await referral(services)).state == "pending"
        assert await paid_for_referrals(services) == {}
        await later(services, HOLD)
        paid = {("advocate", "referral:advocate"): 100, ("friend", "referral:friend"): 50}
        assert await paid_for_referrals(services) == paid
        await assert_audit_is_clean(services)
