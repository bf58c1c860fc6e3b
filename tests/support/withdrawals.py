"""A program with withdrawals, its members, and a fake provider."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import UUID

import msgspec

from engage.clock import Clock
from engage.domain.withdrawals.definition import Method
from engage.domain.withdrawals.withdrawal import Accepted, NotReceived, Outcome, Paid
from engage.flows.members.register import MemberRegistration, register_member
from engage.flows.scheduled.settle import settle_due
from engage.flows.withdrawals.reads import WithdrawalView
from engage.flows.withdrawals.withdraw import withdraw
from engage.payouts.port import Payout, PayoutProvider
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.clock import FIVE_MINUTES, advance
from tests.support.database import rows
from tests.support.programs import rule, services_with

PROGRAM = "market"
PHONE = "+22670123456"

RULES = """
id = "market"
title = "A market with withdrawals"
eligibility = { one_account_a_person = false }
expiry = { type = "never" }
worth = { points = 1, minor = 100 }

[countries]
BF = { zone = "Africa/Ouagadougou", currency = "XOF" }
IN = { zone = "Asia/Kolkata", currency = "XOF" }
""" + rule("registration", 'activity = "registration"', 'type = "once"', 100)

OPEN = """
[withdrawal]
open = true
methods = ["cash", "mobile_money"]
min_points = 50
max_points_a_day = 80
max_count_a_day = 3
number_cooldown = "PT24H"
"""

SHUT = """
[withdrawal]
open = false
opens_at = 2027-03-01T00:00:00Z
methods = ["cash", "mobile_money"]
min_points = 50
"""


def document(withdrawal: str, *, version: str = "first", since: str = "2020-01-01") -> str:
    return f'version = "{version}"\nin_force_from = {since}\n{RULES}{withdrawal}'


class FakeProvider:
    """A provider that accepts every payout, reports it as paid when asked, and remembers both. Tests override
    its methods.
    """

    name = "bank"

    def __init__(self) -> None:
        self.sent: list[UUID] = []
        self.paid: list[UUID] = []
        self.ends: dict[UUID, Outcome] = {}

    async def send(self, payout: Payout, *, at: datetime) -> Outcome:
        self.take(payout)
        return Accepted()

    async def ask(self, payout: Payout, *, at: datetime) -> Outcome:
        return self.ends.get(payout.reference, NotReceived())

    async def close(self) -> None:
        return

    def take(self, payout: Payout, end: Outcome | None = None) -> None:
        """Accept a payout. It is paid unless `end` says otherwise."""
        self.sent.append(payout.reference)
        self.ends[payout.reference] = end or Paid("b-1", payout.amount_minor, payout.currency)
        if end is None:
            self.paid.append(payout.reference)


@asynccontextmanager
async def services_with_withdrawals(
    settings: Settings,
    provider: PayoutProvider | None = None,
    *,
    clock: Clock | None = None,
    withdrawal: str = OPEN,
) -> AsyncIterator[Services]:
    """Open services with the program published. Without `provider` they use that of the settings."""
    async with services_with(settings, document(withdrawal), clock=clock) as services:
        yield services if provider is None else msgspec.structs.replace(services, payouts=provider)


async def join(
    services: Services, member_id: str = "m-1", *, phone: str | None = PHONE, country: str = "BF"
) -> str:
    """Register a member, advance the clock by five minutes, and activate their 100 points."""
    await register_member(
        services, MemberRegistration(member_id=member_id, program=PROGRAM, country=country, phone=phone)
    )
    await settle_due(services, now=advance(services, FIVE_MINUTES))
    return member_id


async def request_withdrawal(
    services: Services, points: int = 60, *, phone: str | None = None, method: Method = "mobile_money"
) -> WithdrawalView:
    return await withdraw(services, PROGRAM, "m-1", points=points, method=method, phone=phone)


async def withdrawal_states(services: Services) -> list[str]:
    """Return the states of all withdrawals, sorted."""
    return [str(state) for (state,) in await rows(services.db, "SELECT state FROM withdrawals ORDER BY 1")]


async def balance(services: Services, member_id: str = "m-1") -> tuple[int, int]:
    """Return (active, held)."""
    found = await rows(services.db, "SELECT active, held FROM balances WHERE member_id = :id", id=member_id)
    active, held = found[0]
    assert isinstance(active, int)
    assert isinstance(held, int)
    return active, held
