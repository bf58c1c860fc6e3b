"""A program with referrals, its members, and what comes of their invitations."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from engage.clock import Clock
from engage.domain.identity import Operator
from engage.flows.members.register import MemberRegistration, RegisteredMember, register_member
from engage.flows.referrals.claim import claim_referral
from engage.flows.referrals.my_referral import read_my_referral
from engage.flows.referrals.queue import ReferralView, read_queue
from engage.flows.referrals.settle import settle_due_referrals
from engage.flows.scheduled.reactions import react_due
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support import orders
from tests.support.clock import DAY, advance
from tests.support.database import rows
from tests.support.programs import services_with

PROGRAM = orders.PROGRAM
OPERATOR = Operator("key-1", "operator")
HOLD = 7 * DAY

BASE = orders.DOCUMENT.replace(
    'person_ref = "optional"', 'person_ref = "optional", one_account_a_person = false'
)

TERMS = """
[referral]
code_length = 8
account_age_max = "P3D"
limit = { count = 3, window = "month" }
advocate = { on = "first_order_delivered", points = 100, min_spend_minor = 1000 }
friend = { on = "registration", points = 50 }
hold = "P7D"
"""

BY_REGISTRATION = """
[referral]
advocate = { on = "registration", points = 100 }
friend = { on = "registration", points = 50 }
hold = "P7D"
url = "https://shop.example/join?by={code}"
"""


@asynccontextmanager
async def services_with_referrals(
    settings: Settings, terms: str = TERMS, *, clock: Clock | None = None
) -> AsyncIterator[Services]:
    """Open services with the program published. The clock stands at NOON by default."""
    async with services_with(settings, BASE + terms, clock=clock) as services:
        yield services


async def join(services: Services, member_id: str, **details: Any) -> RegisteredMember:
    registration = MemberRegistration(member_id=member_id, program=PROGRAM, country="ES", **details)
    return await register_member(services, registration)


async def code_of(services: Services, member_id: str) -> str:
    return (await read_my_referral(services, PROGRAM, member_id)).code


async def use(services: Services, friend: str, advocate: str, **details: Any) -> str:
    """Use the code of an advocate as a friend; the state of the referral."""
    code = await code_of(services, advocate)
    return (await claim_referral(services, PROGRAM, friend, code, **details)).state


async def invite(services: Services, friend: str = "friend", advocate: str = "advocate") -> None:
    """Let both join, and the friend use the advocate's code."""
    for member_id in (advocate, friend):
        await join(services, member_id)
    assert await use(services, friend, advocate) == "pending"


async def order(
    services: Services, *, paid: int = 1000, member_id: str = "friend", order_id: str = "o-1"
) -> None:
    """Pay an order and have it delivered."""
    line = orders.line(paid=paid, quantity=2)
    await send(services, orders.paid(services, line, order_id=order_id, member_id=member_id))
    await send(services, orders.delivered(services, order_id, member_id=member_id))


async def give_back(
    services: Services, back: dict[str, int] | None = None, *, member_id: str = "friend"
) -> None:
    await send(services, orders.returned(services, back, member_id=member_id))


async def send(services: Services, event: Any) -> None:
    """Send an event, and let everything follow from it."""
    assert await orders.send_events(services, event) == []
    await react_due(services, now=services.clock.now())


async def later(services: Services, by: timedelta) -> datetime:
    """Advance the clock, and do what falls due for referrals."""
    now = advance(services, by)
    await settle_due_referrals(services, now=now)
    return now


async def referral(services: Services) -> ReferralView:
    """Return the only referral."""
    (found,) = await read_queue(services, [PROGRAM], state=None, before=None, limit=10)
    return found


async def paid_for_referrals(services: Services) -> dict[tuple[str, str], int]:
    """Return the points that members have of referrals, by (member, rule)."""
    found = await rows(
        services.db,
        """SELECT member_id, rule_id, sum(points - taken_back)
           FROM credits JOIN members USING (program_id, member_id)
           WHERE starts_with(rule_id, 'referral:') AND state <> 'reversed' AND closed_at IS NULL
           GROUP BY 1, 2""",
    )
    return {(str(member_id), str(rule)): int(str(points)) for member_id, rule, points in found}


def counts_of(invited: int = 0, pending: int = 0, rewarded: int = 0, flagged: int = 0) -> tuple[int, ...]:
    return invited, pending, rewarded, flagged


async def counts(services: Services, member_id: str = "advocate") -> tuple[int, ...]:
    found = (await read_my_referral(services, PROGRAM, member_id)).counts
    return found.invited, found.pending, found.rewarded, found.flagged
