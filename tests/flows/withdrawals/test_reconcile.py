"""What we have of payouts is what the provider has, or it is told."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from engage.domain.withdrawals.withdrawal import NEVER_HEARD_AFTER, Accepted, Declined, Outcome, Paid, Unclear
from engage.flows.withdrawals.pay_out import pay_out_due
from engage.flows.withdrawals.reconcile import AGAIN_AFTER, reconcile
from engage.payouts.port import Payout
from engage.runtime.services import Parts
from engage.settings import Settings
from tests.flows.operations.test_audit_command import run, show
from tests.support.playing import DAY, advance
from tests.support.withdrawals import PHONE, Bank, balance, join, paying, states, take_out

MINUTE = timedelta(minutes=1)


@pytest.fixture
def bank() -> Bank:
    return Bank()


@pytest.fixture
async def parts(settings: Settings, bank: Bank) -> AsyncIterator[Parts]:
    async with paying(settings, bank) as opened:
        await join(opened)
        yield opened


async def settle(parts: Parts) -> None:
    await take_out(parts)
    for _ in range(2):
        await pay_out_due(parts, now=advance(parts, MINUTE))
    assert await states(parts) == ["settled"]


async def test_what_agrees_is_compared_once(parts: Parts) -> None:
    await settle(parts)
    first = await reconcile(parts)
    assert (first.compared, first.differences) == (1, [])
    advance(parts, DAY)
    assert (await reconcile(parts)).compared == 0


async def test_what_is_open_is_asked_about_whatever_its_pause(parts: Parts, bank: Bank) -> None:
    asked = await take_out(parts)
    await pay_out_due(parts, now=parts.clock.now())
    bank.ends[asked.id] = Accepted()
    for _ in range(8):
        await pay_out_due(parts, now=advance(parts, 120 * MINUTE))
    bank.ends[asked.id] = Paid("b-1", 6_000, "XOF")
    assert await pay_out_due(parts, now=advance(parts, MINUTE)) == 0
    found = await reconcile(parts)
    assert (found.asked, found.ended, found.differences) == (1, 1, [])
    assert await states(parts) == ["settled"]


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (Declined("payee_not_found"), "settled, and not paid: Declined"),
        (Paid("b-1", 5_000, "XOF"), "settled, and paid as 5000 XOF"),
        (Paid("b-1", 6_000, "EUR"), "settled, and paid as 6000 EUR"),
    ],
)
async def test_a_difference_is_told_until_it_is_gone(
    parts: Parts, bank: Bank, there: Outcome, said: str
) -> None:
    await settle(parts)
    (reference,) = bank.ends
    end, bank.ends[reference] = bank.ends[reference], there
    assert [one.said for one in (await reconcile(parts)).differences] == [said]
    advance(parts, AGAIN_AFTER + MINUTE)
    assert [one.said for one in (await reconcile(parts)).differences] == [said]
    bank.ends[reference] = end
    advance(parts, AGAIN_AFTER + MINUTE)
    assert (await reconcile(parts)).differences == []


async def test_what_had_never_arrived_and_was_paid_later_is_found(parts: Parts, bank: Bank) -> None:
    """The one way to pay points that have gone back, and so it is looked for every day for a week."""
    lost: list[Payout] = []

    async def holds_it_up(payout: Payout, *, at: datetime) -> Outcome:
        lost.append(payout)
        return Unclear("ReadTimeout")

    bank.send = holds_it_up  # type: ignore[method-assign]
    await take_out(parts)
    await pay_out_due(parts, now=parts.clock.now())
    await pay_out_due(parts, now=advance(parts, NEVER_HEARD_AFTER))
    assert await states(parts) == ["failed"]
    assert await balance(parts) == (100, 0)
    assert (await reconcile(parts)).differences == []
    advance(parts, DAY)
    bank.take(lost[0])
    assert [one.said for one in (await reconcile(parts)).differences] == [
        "its points went back, and it was paid"
    ]


async def test_a_provider_that_says_nothing_is_asked_another_time(parts: Parts, bank: Bank) -> None:
    async def says_nothing(payout: Payout, *, at: datetime) -> Outcome:
        return Unclear("status 503")

    await settle(parts)
    ask, bank.ask = bank.ask, says_nothing  # type: ignore[method-assign]
    found = await reconcile(parts)
    assert (found.compared, found.unanswered) == (0, 1)
    bank.ask = ask  # type: ignore[method-assign]
    assert (await reconcile(parts)).compared == 1


async def test_what_stays_open_for_a_day_is_told(parts: Parts, bank: Bank) -> None:
    asked = await take_out(parts)
    await pay_out_due(parts, now=parts.clock.now())
    bank.ends[asked.id] = Accepted()
    advance(parts, DAY + MINUTE)
    assert [one.said for one in (await reconcile(parts)).differences] == ["submitted for more than a day"]


async def test_an_operator_reconciles_by_a_command(settings: Settings, tmp_path: Path) -> None:
    """The sandbox's provider has paid whatever it is asked about, by its number."""
    async with paying(settings) as parts:
        await join(parts)
        await take_out(parts, phone=PHONE)
        for _ in range(2):
            await pay_out_due(parts, now=advance(parts, MINUTE))
        await show(parts, parts.clock.now())
        status, said = await run(settings, "payouts", "reconcile", cwd=tmp_path)
        assert status == 0, said
        assert said.splitlines() == [
            "0 open ones asked about, 0 of them ended; 1 compared, 0 without an answer; 0 differences"
        ]
        async with parts.db.begin() as conn:
            await conn.exec_driver_sql("UPDATE withdrawals SET phone = '+22670123401', compared_at = NULL")
        status, said = await run(settings, "payouts", "reconcile", cwd=tmp_path)
        assert status == 1, said
        assert "settled, and not paid" in said
        assert "m-1" in said
