"""Withdrawals agree with the provider's payouts, or the difference is reported."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from engage.domain.withdrawals.withdrawal import (
    NOT_RECEIVED_AFTER,
    Accepted,
    Declined,
    Outcome,
    Paid,
    Unclear,
)
from engage.flows.withdrawals.pay_out import pay_out_due
from engage.flows.withdrawals.reconcile import AGAIN_AFTER, reconcile
from engage.payouts.port import Payout
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.clock import DAY, advance, set_sandbox_clock
from tests.support.command_line import run
from tests.support.withdrawals import (
    PHONE,
    FakeProvider,
    balance,
    join,
    request_withdrawal,
    services_with_withdrawals,
    withdrawal_states,
)

MINUTE = timedelta(minutes=1)


async def settle(services: Services) -> None:
    await request_withdrawal(services)
    for _ in range(2):
        await pay_out_due(services, now=advance(services, MINUTE))
    assert await withdrawal_states(services) == ["settled"]


async def test_a_withdrawal_that_agrees_is_compared_once(services: Services) -> None:
    await settle(services)
    first = await reconcile(services)
    assert (first.compared, first.differences) == (1, [])
    advance(services, DAY)
    assert (await reconcile(services)).compared == 0


async def test_open_withdrawals_are_asked_about_during_their_pause_too(
    services: Services, bank: FakeProvider
) -> None:
    withdrawal = await request_withdrawal(services)
    await pay_out_due(services, now=services.clock.now())
    bank.ends[withdrawal.id] = Accepted()
    for _ in range(8):
        await pay_out_due(services, now=advance(services, 120 * MINUTE))
    bank.ends[withdrawal.id] = Paid("b-1", 6_000, "XOF")
    assert await pay_out_due(services, now=advance(services, MINUTE)) == 0
    result = await reconcile(services)
    assert (result.asked, result.closed, result.differences) == (1, 1, [])
    assert await withdrawal_states(services) == ["settled"]


@pytest.mark.parametrize(
    ("outcome", "description"),
    [
        (Declined("payee_not_found"), "settled, and not paid: Declined"),
        (Paid("b-1", 5_000, "XOF"), "settled, and paid as 5000 XOF"),
        (Paid("b-1", 6_000, "EUR"), "settled, and paid as 6000 EUR"),
    ],
)
async def test_a_difference_is_reported_until_it_is_resolved(
    services: Services, bank: FakeProvider, outcome: Outcome, description: str
) -> None:
    await settle(services)
    (reference,) = bank.ends
    end, bank.ends[reference] = bank.ends[reference], outcome
    assert [item.description for item in (await reconcile(services)).differences] == [description]
    advance(services, AGAIN_AFTER + MINUTE)
    assert [item.description for item in (await reconcile(services)).differences] == [description]
    bank.ends[reference] = end
    advance(services, AGAIN_AFTER + MINUTE)
    assert (await reconcile(services)).differences == []


async def test_a_payout_paid_after_its_failure_is_found(services: Services, bank: FakeProvider) -> None:
    """The only way to pay released points, so it is checked every day for a week."""
    lost: list[Payout] = []

    async def delay(payout: Payout, *, at: datetime) -> Outcome:
        lost.append(payout)
        return Unclear("ReadTimeout")

    bank.send = delay  # type: ignore[method-assign]
    await request_withdrawal(services)
    await pay_out_due(services, now=services.clock.now())
    await pay_out_due(services, now=advance(services, NOT_RECEIVED_AFTER))
    assert await withdrawal_states(services) == ["failed"]
    assert await balance(services) == (100, 0)
    assert (await reconcile(services)).differences == []
    advance(services, DAY)
    bank.take(lost[0])
    assert [item.description for item in (await reconcile(services)).differences] == [
        "its points went back, and it was paid"
    ]


async def test_a_withdrawal_without_an_answer_is_compared_later(
    services: Services, bank: FakeProvider
) -> None:
    async def give_no_answer(payout: Payout, *, at: datetime) -> Outcome:
        return Unclear("status 503")

    await settle(services)
    ask, bank.ask = bank.ask, give_no_answer  # type: ignore[method-assign]
    result = await reconcile(services)
    assert (result.compared, result.unanswered) == (0, 1)
    bank.ask = ask  # type: ignore[method-assign]
    assert (await reconcile(services)).compared == 1


async def test_a_withdrawal_open_for_a_day_is_reported(services: Services, bank: FakeProvider) -> None:
    withdrawal = await request_withdrawal(services)
    await pay_out_due(services, now=services.clock.now())
    bank.ends[withdrawal.id] = Accepted()
    advance(services, DAY + MINUTE)
    assert [item.description for item in (await reconcile(services)).differences] == [
        "submitted for more than a day"
    ]


async def test_the_command_reconciles_and_prints_differences(settings: Settings, tmp_path: Path) -> None:
    """The sandbox's provider answers by the phone number."""
    async with services_with_withdrawals(settings) as services:
        await join(services)
        await request_withdrawal(services, phone=PHONE)
        for _ in range(2):
            await pay_out_due(services, now=advance(services, MINUTE))
        await set_sandbox_clock(services.settings, services.clock.now())
        status, output = await run(settings, "payouts", "reconcile", cwd=tmp_path)
        assert status == 0, output
        assert output.splitlines() == [
            "0 open asked about, 0 closed; 1 compared, 0 without an answer; 0 differences"
        ]
        async with services.db.begin() as conn:
            await conn.exec_driver_sql("UPDATE withdrawals SET phone = '+22670123401', compared_at = NULL")
        status, output = await run(settings, "payouts", "reconcile", cwd=tmp_path)
        assert status == 1, output
        assert "settled, and not paid" in output
        assert "m-1" in output
