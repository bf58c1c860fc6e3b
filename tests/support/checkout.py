"""A program with a checkout and rewards, and members with points.

Every review pays a hundred points at once, which expire after a month.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import count
from typing import Any, TypeVar

from engage.clock import Clock
from engage.domain.accounts.balance import Balance
from engage.domain.activity import Line, Payment, Review
from engage.domain.refusals import Refusal
from engage.flows.activities.activity import MemberActivity
from engage.flows.activities.record import record
from engage.flows.checkout.checkout_hold import CheckoutHold
from engage.flows.checkout.close_holds import ClosedHold, HoldClosing, HoldOutcome, close_holds
from engage.flows.checkout.hold import HoldRequest, hold
from engage.flows.members.register import MemberRegistration, register_member
from engage.flows.reads.balances import read_balances
from engage.flows.rewards.redeem import Redemption, RewardRequest, redeem
from engage.flows.scheduled.settle import settle_due
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.programs import rule, services_with

SPENDING = "spending"
HOLD_FOR = timedelta(minutes=30)
MONTH = timedelta(days=31)

T = TypeVar("T")

_numbers = count(1)

DOCUMENT = """
id = "spending"
version = "first"
title = "Points to spend"
in_force_from = 2020-01-01
eligibility = { person_ref = "optional" }
expiry = { type = "rolling", months = 1 }
grace = "P7D"
worth = { points = 1, minor = 1 }

[checkout]
min_balance = 10
max_percent = 50
hold_for = "PT30M"
orders = { promotion_lines = false, refused_methods = ["credit"] }

[coupons]
per_order = 2
excluded_products = ["gift_card"]

[countries]
ES = { zone = "Europe/Madrid", currency = "EUR" }

[[rewards]]
type = "coupon"
id = "one_euro"
title = "1 EUR off"
points = 100
value_minor = 100
valid_for = "P10D"

[[rewards]]
type = "coupon"
id = "scarce"
title = "2 EUR off, for three"
points = 100
value_minor = 200
stock = 3
excluded_products = ["mouse"]

[[rewards]]
type = "coupon"
id = "monthly"
title = "Once a month"
points = 10
value_minor = 50
min_order_minor = 1000
per_member = { count = 1, window = "month" }

[[rewards]]
type = "coupon"
id = "ever"
title = "Once"
points = 10
value_minor = 50
per_member = { count = 1 }

[[rewards]]
type = "f_code"
id = "phone_first"
title = "The phone before others"
points = 50
product_id = "phone"

[[rewards]]
type = "coupon"
id = "gone"
title = "Not now"
points = 1
value_minor = 1
suspended = true
""" + rule(
    "review",
    'activity = "review"',
    'type = "once_per", field = "product_id"',
    100,
    due='type = "after", delay = "PT0S"',
)


@asynccontextmanager
async def services_with_checkout(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Services]:
    """Open services with the program published. The clock stands at NOON by default."""
    async with services_with(settings, DOCUMENT, clock=clock) as services:
        yield services


async def member_with_points(services: Services, points: int, member_id: str = "m-1") -> str:
    """Register a member with these points, a multiple of 100."""
    await register_member(services, MemberRegistration(member_id=member_id, program=SPENDING, country="ES"))
    await earn(services, points, member_id)
    return member_id


async def earn(services: Services, points: int, member_id: str = "m-1") -> None:
    """Earn points by reviews of new products, in lots of 100."""
    reviews = [
        Review(product_id=f"p-{n}", review_id=f"r-{n}")
        for n in (next(_numbers) for _ in range(points // 100))
    ]
    now = services.clock.now()
    answers = await record(services, [MemberActivity(SPENDING, member_id, review, now) for review in reviews])
    assert not [answer for answer in answers if isinstance(answer, Exception)]
    await settle_due(services, now=services.clock.now())


async def balance(services: Services, member_id: str = "m-1") -> tuple[int, int, int]:
    """Return (active, held, debt)."""
    current: Balance = (await read_balances(services, [(SPENDING, member_id)]))[SPENDING, member_id]
    return current.active, current.held, current.debt


def line(paid: int, product: str = "band", *, promotion: bool = False) -> Line:
    return Line(line_id=f"{product}-{paid}", product_id=product, paid=paid, promotion=promotion)


def hold_request(order_id: str = "o-1", member_id: str = "m-1", **changes: Any) -> HoldRequest:
    """Make a request for a hold. By default its order has one line of 100 EUR."""
    fields: dict[str, Any] = {
        "program": SPENDING,
        "lines": [line(100_00)],
        "payment": Payment(method="card"),
        "currency": "EUR",
    }
    return HoldRequest(order_id=order_id, member_id=member_id, **fields | changes)


async def place_hold(services: Services, request: HoldRequest) -> CheckoutHold:
    """Hold points for one order. Raises Refusal."""
    (answer,) = await hold(services, [request])
    return _raised(answer)


async def close_hold(services: Services, placed: CheckoutHold, end: HoldOutcome) -> ClosedHold:
    """Capture or release one hold. Raises Refusal."""
    (answer,) = await close_holds(services, [HoldClosing(placed.hold_id, end)])
    return _raised(answer)


async def redeem_reward(services: Services, reward_id: str, member_id: str = "m-1") -> Redemption:
    """Redeem one reward. Raises Refusal."""
    (answer,) = await redeem(services, [RewardRequest(SPENDING, member_id, reward_id)])
    return _raised(answer)


def refusal_codes(answers: list[Any]) -> list[str]:
    """Return the sorted codes of the refusals. Any other exception fails the test."""
    refused = [answer for answer in answers if isinstance(answer, Exception)]
    assert all(isinstance(answer, Refusal) for answer in refused), refused
    return sorted(answer.code for answer in refused if isinstance(answer, Refusal))


def _raised(answer: T | Exception) -> T:
    if isinstance(answer, Exception):
        raise answer
    return answer
