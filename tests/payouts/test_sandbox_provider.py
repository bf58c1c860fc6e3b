"""The sandbox's provider: the phone number decides the outcome, in every process and after any restart."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from engage.domain.withdrawals.withdrawal import (
    Accepted,
    Declined,
    NotReceived,
    NotSent,
    Outcome,
    Paid,
    Unclear,
)
from engage.payouts.port import Payout
from engage.payouts.sandbox import LATE, SandboxProvider

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("digits", "sent", "soon", "late"),
    [
        ("01", Declined, Declined, Declined),
        ("02", Accepted, Declined, Declined),
        ("03", Unclear, Paid, Paid),
        ("04", Accepted, Accepted, Paid),
        ("05", Unclear, NotReceived, NotReceived),
        ("06", NotSent, NotReceived, NotReceived),
        ("56", Accepted, Paid, Paid),
    ],
)
async def test_the_last_digits_decide_the_outcome(digits: str, sent: type, soon: type, late: type) -> None:
    payout = Payout(uuid4(), 100, "XOF", f"+226701234{digits}", AT)
    outcomes: list[Outcome] = [
        await SandboxProvider().send(payout, at=AT),
        await SandboxProvider().ask(payout, at=AT + timedelta(minutes=1)),
        await SandboxProvider().ask(payout, at=AT + LATE),
    ]
    assert [type(outcome) for outcome in outcomes] == [sent, soon, late]
