"""A worker is killed during a payout: it is paid at most once, and no points are lost."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from engage.domain.withdrawals.withdrawal import NOT_RECEIVED_AFTER
from engage.flows.withdrawals.pay_out import pay_out_due
from engage.runtime.services import Services
from engage.settings import Settings, to_environment
from tests.payouts.momo_server import Momo, momo
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import advance
from tests.support.withdrawals import (
    balance,
    join,
    request_withdrawal,
    services_with_withdrawals,
    withdrawal_states,
)

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120.0
MINUTE = timedelta(minutes=1)


@pytest.fixture
async def server() -> AsyncIterator[Momo]:
    async with momo() as opened:
        yield opened


@pytest.fixture
async def services(settings: Settings, server: Momo) -> AsyncIterator[Services]:
    async with services_with_withdrawals(server.settings(settings)) as opened:
        await join(opened)
        yield opened
        await assert_audit_is_clean(opened)


async def kill_during_call(services: Services, server: Momo, path: str) -> None:
    """Run payouts in a separate process, and kill it while the provider keeps the call at `path` open."""
    server.hanging, server.arrived = {path}, asyncio.Event()
    environment = {**os.environ, **to_environment(services.settings)}
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.durability.pay_out_once", services.clock.now().isoformat()),
        cwd=ROOT,
        env=environment,
    )
    async with asyncio.timeout(PATIENCE_S):
        await server.arrived.wait()
        worker.kill()
        assert await worker.wait() != 0
    server.hanging.clear()


async def pay_out(services: Services, after: timedelta) -> list[str]:
    await pay_out_due(services, now=advance(services, after))
    return await withdrawal_states(services)


async def test_a_payout_accepted_before_the_kill_is_paid_once(services: Services, server: Momo) -> None:
    withdrawal = await request_withdrawal(services)
    await kill_during_call(services, server, "transfer")
    assert await withdrawal_states(services) == ["submitted"]
    assert await pay_out(services, timedelta()) == ["submitted"], "nobody sends it again"
    server.transfers[withdrawal.id].status = "SUCCESSFUL"
    assert await pay_out(services, MINUTE) == ["settled"]
    assert await balance(services) == (40, 0)
    assert [path for path, _ in server.requests].count("transfer") == len(server.transfers) == 1


async def test_a_payout_not_sent_before_the_kill_is_never_sent(services: Services, server: Momo) -> None:
    await request_withdrawal(services)
    await kill_during_call(services, server, "token")
    assert await withdrawal_states(services) == ["submitted"]
    assert await pay_out(services, MINUTE) == ["unknown"]
    assert await balance(services) == (40, 60)
    assert await pay_out(services, NOT_RECEIVED_AFTER) == ["failed"]
    assert await balance(services) == (100, 0)
    assert server.transfers == {}


async def test_an_inquiry_interrupted_by_the_kill_is_repeated(services: Services, server: Momo) -> None:
    withdrawal = await request_withdrawal(services)
    await pay_out(services, timedelta())
    server.transfers[withdrawal.id].status = "SUCCESSFUL"
    advance(services, MINUTE)
    await kill_during_call(services, server, "status")
    assert await withdrawal_states(services) == ["submitted"]
    assert await pay_out(services, 2 * MINUTE) == ["settled"]
    assert len(server.transfers) == 1
