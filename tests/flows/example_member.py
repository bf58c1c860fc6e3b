"""The deeds of documents' examples, done through the flows over real servers."""

from collections.abc import Sequence
from datetime import datetime
from itertools import count
from typing import Any
from uuid import UUID

import msgspec

from engage.clock import StoppedClock
from engage.domain.activity import Order, Registration
from engage.domain.checkout.example_steps import Capture, Hold, Quote, Release, Spend
from engage.domain.earning.order_facts import ReturnedLine
from engage.domain.examples.steps import (
    Join,
    OrderCancelled,
    OrderDelivered,
    OrderReturned,
    ReviewRemoved,
    ShareRemoved,
    Wait,
)
from engage.domain.program.example import Step
from engage.domain.refusals import Refusal
from engage.domain.rewards.example_steps import Redeem
from engage.domain.withdrawals.example_steps import Withdraw
from engage.flows.activities.activity import MemberActivity
from engage.flows.activities.record import record
from engage.flows.checkout.close_holds import HoldClosing, HoldOutcome, close_holds
from engage.flows.checkout.hold import CheckoutHold, HoldRequest, hold
from engage.flows.checkout.quote import Quote as Quoted
from engage.flows.checkout.quote import QuoteRequest, quote
from engage.flows.members.register import MemberRegistration, register_member
from engage.flows.reads.balances import read_balances
from engage.flows.rewards.redeem import Redemption, RewardRequest, redeem
from engage.flows.scheduled.due_work import DUE_WORK, run_due_work
from engage.flows.shop import events
from engage.flows.shop.events import AnyEvent
from engage.flows.shop.take_events import take_events
from engage.flows.withdrawals.withdraw import withdraw
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.store.members.members import NewMember, add_member
from tests.support.database import rows

_numbers = count(1)

# What a credit was when it was earned: what it lost since while it waited is told by its reductions.
_EARNED = """
SELECT c.rule_id, c.points + coalesce(CAST(sum(r.points) AS bigint), 0), c.source_key, c.due_at, c.expires_at
FROM credits c LEFT JOIN reductions r ON r.program_id = c.program_id AND r.member_id = c.member_id
    AND r.credit_id = c.id
WHERE c.program_id = :program AND c.member_id = :member AND c.id = ANY(:ids)
GROUP BY c.program_id, c.member_id, c.id
"""

_OF_ORDER = """
SELECT id FROM credits
WHERE program_id = :program AND member_id = :member AND reference = 'order:' || :order_id
"""

_CODES = """
SELECT code FROM coupons WHERE program_id = :program AND member_id = :member AND reward_id = :reward
ORDER BY state = 'issued' DESC, issued_at
"""


Afterwards = OrderDelivered | OrderCancelled | OrderReturned | ReviewRemoved | ShareRemoved


class Earned(msgspec.Struct, frozen=True):
    rule: str
    points: int
    source_key: str
    due_at: datetime | None
    expires_at: datetime | None


class StepResult(msgspec.Struct):
    """What came of a step."""

    credits: list[Earned] | None = None
    quote: Quoted | None = None
    held: CheckoutHold | None = None
    redeemed: Redemption | None = None
    refusal: str | None = None


class ExampleMember:
    """One member, who does what the steps of an example say. They join when a step says so, or else without
    any points.
    """

    def __init__(self, services: Services, program_id: str, country: str, currency: str) -> None:
        self.services = services
        self.program_id, self.country, self.currency = program_id, country, currency
        self.member_id = f"actor-{next(_numbers)}"
        self.joined = False
        self.holds: dict[str, UUID] = {}

    @property
    def key(self) -> tuple[str, str]:
        return self.program_id, self.member_id

    async def step(self, step: Step, at: datetime) -> StepResult:
        await self.pass_to(at)
        try:
            came = await self._do(step)
        except Refusal as refusal:
            came = StepResult(refusal=refusal.code)
        await self.pass_to(at)
        await self.services.post_commit.drain()
        return came

    async def pass_to(self, at: datetime) -> None:
        """Everything that falls due happens at its own time."""
        clock = self.services.clock
        assert isinstance(clock, StoppedClock)
        while (stop := await self._next_stop(clock.at, at)) is not None:
            clock.at = stop
            await run_due_work(self.services, now=stop, on_time=True)
        clock.at = at
        await run_due_work(self.services, now=at, on_time=True)

    async def _next_stop(self, after: datetime, until: datetime) -> datetime | None:
        async with transaction(self.services.db) as conn:
            times = [await work.next_at(conn, after=after) for work in DUE_WORK]
        return min((at for at in times if at is not None and at < until), default=None)

    async def arrive(self) -> None:
        """A member from here on, who has earned nothing yet."""
        member = NewMember(
            program_id=self.program_id,
            member_id=self.member_id,
            country=self.country,
            kind="person",
            birth_date=None,
            person_hash=None,
            phone=None,
            referral_code=None,
            card_numbers=[],
        )
        async with transaction(self.services.db) as conn:
            await add_member(conn, member, now=self.services.clock.now())
        self.joined = True

    async def active(self) -> tuple[int, int, int, int]:
        """(active, pending, held, debt)."""
        found = (await read_balances(self.services, [self.key])).get(self.key)
        return (0, 0, 0, 0) if found is None else (found.active, found.pending, found.held, found.debt)

    async def _do(self, step: Step) -> StepResult:
        match step.do:
            case Join(kind=kind, birth_date=birth_date):
                return StepResult(credits=await self._join(kind=kind, birth_date=birth_date))
            case Registration():
                return StepResult(credits=await self._join())
            case Order() as order:
                return StepResult(credits=await self._pay(order))
            case Spend() as deed:
                held = await self._hold(deed)
                earned = await self._pay(self._order(deed))
                await self._end(deed.order_id, "captured")
                return StepResult(credits=earned, held=held)
            case Hold() as deed:
                return StepResult(held=await self._hold(deed))
            case Quote() as deed:
                return StepResult(quote=await quote(self.services, QuoteRequest(**self._basket(deed))))
            case Capture(order_id=order_id):
                await self._end(order_id, "captured")
            case Release(order_id=order_id):
                await self._end(order_id, "released")
            case Redeem(reward_id=reward_id):
                (answer,) = await redeem(self.services, [RewardRequest(*self.key, reward_id)])
                return StepResult(redeemed=_raised(answer))
            case Withdraw(points=points, method=method):
                await withdraw(self.services, *self.key, points=points, method=method)
            case Wait():
                pass
            case OrderDelivered() | OrderCancelled() | OrderReturned() | ReviewRemoved() | ShareRemoved():
                await self._tell(_event_of(step.do, self._named()))
            case activity:
                (done,) = await record(
                    self.services, [MemberActivity(*self.key, activity, self.services.clock.now())]
                )
                recorded = _raised(done)
                return StepResult(credits=await self._earned([credit.id for credit in recorded.credits]))
        return StepResult()

    async def _join(self, **who: Any) -> list[Earned]:
        """Whoever joins after the first who did is somebody else."""
        member_id = f"{self.member_id}-{next(_numbers)}" if self.joined else self.member_id
        registration = MemberRegistration(
            member_id=member_id, program=self.program_id, country=self.country, **who
        )
        joined = await register_member(self.services, registration)
        self.joined = True
        return await self._earned([credit.id for credit in joined.credits], member_id)

    async def _pay(self, order: Order) -> list[Earned]:
        told = {name: getattr(order, name) for name in order.__struct_fields__ if name != "discount"}
        paid = events.OrderPaid(**told, hold_id=self.holds.get(order.order_id))
        await self._tell(events.OrderPaidEvent(**self._named(), data=paid))
        ids = await rows(
            self.services.db,
            _OF_ORDER,
            program=self.program_id,
            member=self.member_id,
            order_id=order.order_id,
        )
        return await self._earned([id_ for (id_,) in ids])

    async def _hold(self, deed: Hold) -> CheckoutHold:
        codes = [await self._code(reward) for reward in deed.coupons]
        asked = HoldRequest(
            **self._basket(deed), order_id=deed.order_id, points=deed.points, coupon_codes=codes
        )
        (answer,) = await hold(self.services, [asked])
        held: CheckoutHold = _raised(answer)
        self.holds[deed.order_id] = held.hold_id
        return held

    async def _end(self, order_id: str, end: HoldOutcome) -> None:
        (answer,) = await close_holds(self.services, [HoldClosing(self.holds[order_id], end)])
        _raised(answer)

    async def _code(self, reward: str) -> str:
        found = await rows(
            self.services.db, _CODES, program=self.program_id, member=self.member_id, reward=reward
        )
        return str(found[0][0])

    async def _earned(self, ids: Sequence[object], member_id: str | None = None) -> list[Earned]:
        found = await rows(
            self.services.db,
            _EARNED,
            program=self.program_id,
            member=member_id or self.member_id,
            ids=list(ids),
        )
        return [
            msgspec.convert(dict(zip(Earned.__struct_fields__, row, strict=True)), Earned) for row in found
        ]

    async def _tell(self, event: AnyEvent) -> None:
        """Raises Refusal without facts."""
        taken = await take_events(self.services, [event])
        for refused in taken.refused:
            raise Refusal(refused.code)

    def _named(self) -> dict[str, Any]:
        return {
            "id": f"told-{next(_numbers)}",
            "time": self.services.clock.now(),
            "program": self.program_id,
            "member_id": self.member_id,
        }

    def _basket(self, deed: Quote) -> dict[str, Any]:
        return {
            "program": self.program_id,
            "member_id": self.member_id,
            "channel": deed.channel,
            "payment": deed.payment,
            "lines": deed.lines,
            "shipping": deed.shipping,
            "currency": deed.currency or self.currency,
        }

    def _order(self, deed: Spend) -> Order:
        basket = self._basket(deed)
        del basket["program"], basket["member_id"]
        return Order(order_id=deed.order_id, **basket)


def _event_of(
    told: OrderDelivered | OrderCancelled | OrderReturned | ReviewRemoved | ShareRemoved,
    named: dict[str, Any],
) -> AnyEvent:
    match told:
        case OrderDelivered(order_id=order_id):
            return events.OrderDeliveredEvent(**named, data=events.OrderReference(order_id=order_id))
        case OrderCancelled(order_id=order_id):
            return events.OrderCancelledEvent(**named, data=events.OrderReference(order_id=order_id))
        case OrderReturned(order_id=order_id, lines=lines):
            back = None if lines is None else [ReturnedLine(*line) for line in lines.items()]
            data = events.OrderReturned(order_id=order_id, return_id=named["id"], lines=back)
            return events.OrderReturnedEvent(**named, data=data)
        case ReviewRemoved(review_id=review_id):
            return events.ReviewRemovedEvent(**named, data=events.ReviewRemoved(review_id=review_id))
        case ShareRemoved(share_id=share_id):
            return events.ShareRemovedEvent(**named, data=events.ShareRemoved(share_id=share_id))


def _raised(answer: Any) -> Any:
    if isinstance(answer, Exception):
        raise answer
    return answer
