"""Plays the steps of documents' examples through the flows, on real servers."""

from collections.abc import Sequence
from datetime import datetime
from itertools import count
from typing import Any
from unittest.mock import patch
from uuid import UUID

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from engage.domain.activity import Line, Order, Payment, Registration
from engage.domain.checkout.example_steps import Capture, Hold, QuoteStep, Release, Spend
from engage.domain.draws.example_steps import EnterDraw
from engage.domain.earning.order_facts import ReturnedLine
from engage.domain.examples.steps import (
    Join,
    OrderCancelled,
    OrderDelivered,
    OrderReturnedStep,
    ReviewPublished,
    ReviewRemoved,
    ShareConfirmed,
    ShareRemoved,
    Wait,
)
from engage.domain.games.definition import Game, Prize
from engage.domain.games.example_steps import PlayGame
from engage.domain.program.example import Step
from engage.domain.quizzes.example_steps import AnswerQuiz, StartQuiz
from engage.domain.quizzes.kind import QUIZ
from engage.domain.referrals.example_steps import (
    FriendJoins,
    FriendOrders,
    FriendReturns,
    UseFriendsCode,
)
from engage.domain.refusals import Refusal
from engage.domain.rewards.example_steps import Redeem
from engage.domain.withdrawals.example_steps import Withdraw
from engage.flows.activities.activity import MemberActivity
from engage.flows.activities.record import record
from engage.flows.checkout.checkout_hold import CheckoutHold
from engage.flows.checkout.close_holds import HoldClosing, HoldOutcome, close_holds
from engage.flows.checkout.hold import HoldRequest, hold
from engage.flows.checkout.quote import Quote, QuoteRequest, quote
from engage.flows.draws.enter import EntryRequest, enter
from engage.flows.games import play as play_module
from engage.flows.games.play import play
from engage.flows.games.player import GamePlayed, PlayRequest
from engage.flows.members.register import MemberRegistration, register_member
from engage.flows.quizzes.answer import AnswerRequest, GradedAttempt, answer
from engage.flows.quizzes.open_quizzes import read_quizzes
from engage.flows.quizzes.start import StartRequest, start
from engage.flows.quizzes.views import StartedAttempt
from engage.flows.reads.balances import read_balances
from engage.flows.referrals.claim import claim_referral
from engage.flows.referrals.my_referral import read_my_referral
from engage.flows.rewards.redeem import Redemption, RewardRequest, redeem
from engage.flows.scheduled.due_work import DUE_WORK, run_due_work
from engage.flows.shop import events
from engage.flows.shop.events import AnyEvent
from engage.flows.shop.take_events import take_events
from engage.flows.withdrawals.withdraw import withdraw
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.store.members.members import NewMember, add_member
from tests.support.clock import stopped_clock
from tests.support.database import rows

_numbers = count(1)

# Credits with the points that they were granted: reductions of pending credits are added back.
_CREDITS = """
SELECT c.rule_id, c.points + coalesce(CAST(sum(r.points) AS bigint), 0), c.source_key, c.due_at, c.expires_at,
       c.unit, c.boost
FROM credits c LEFT JOIN reductions r ON r.program_id = c.program_id AND r.member_id = c.member_id
    AND r.credit_id = c.id
WHERE c.program_id = :program AND c.member_id = :member AND c.id = ANY(:ids)
GROUP BY 1, c.points, 3, 4, 5, 6, 7, c.id
"""

_CREDITS_OF_ORDER = """
SELECT id FROM credits
WHERE program_id = :program AND member_id = :member AND reference = 'order:' || :order_id
"""

_CODES = """
SELECT code FROM coupons WHERE program_id = :program AND member_id = :member AND reward_id = :reward
ORDER BY state = 'issued' DESC, issued_at
"""


class EarnedCredit(msgspec.Struct, frozen=True):
    rule: str
    points: int
    source_key: str
    due_at: datetime | None
    expires_at: datetime | None
    unit: str
    boost: str | None

    @property
    def names(self) -> tuple[str, str | None]:
        return self.rule, self.boost


class StepResult(msgspec.Struct):
    """The outcome of a step."""

    credits: list[EarnedCredit] | None = None
    quote: Quote | None = None
    held: CheckoutHold | None = None
    redeemed: Redemption | None = None
    begun: tuple[StartedAttempt, int] | None = None  # With the attempts that are left.
    graded: GradedAttempt | None = None
    played: GamePlayed | None = None
    refusal: str | None = None


class ExampleMember:
    """A member who performs an example's steps. They register in a step, or else join without points."""

    def __init__(self, services: Services, program_id: str, country: str, currency: str) -> None:
        self.services = services
        self.program_id, self.country, self.currency = program_id, country, currency
        self.member_id = f"actor-{next(_numbers)}"
        self.joined = False
        self.holds: dict[str, UUID] = {}
        self.friends: dict[str, list[str]] = {}  # The orders of each friend.
        self.attempts: dict[str, StartedAttempt] = {}  # The latest at each quiz.

    @property
    def key(self) -> tuple[str, str]:
        return self.program_id, self.member_id

    async def step(self, step: Step, at: datetime) -> StepResult:
        await self.advance_to(at)
        try:
            result = await self._do(step)
        except Refusal as refusal:
            result = StepResult(refusal=refusal.code)
        await self.advance_to(at)
        await self.services.post_commit.drain()
        return result

    async def advance_to(self, at: datetime) -> None:
        """Advance the clock, and do all due work on the way, each at its own time."""
        clock = stopped_clock(self.services)
        while (stop := await self._next_stop(clock.at, at)) is not None:
            clock.at = stop
            await run_due_work(self.services, now=stop, on_time=True)
        clock.at = at
        # What follows from other work may be due at once.
        while await run_due_work(self.services, now=at, on_time=True):
            pass

    async def _next_stop(self, after: datetime, until: datetime) -> datetime | None:
        async with transaction(self.services.db) as conn:
            times = [await work.next_at(conn, after=after) for work in DUE_WORK]
        return min((at for at in times if at is not None and at < until), default=None)

    async def join_without_points(self) -> None:
        """Add the member without a registration, so that nothing is earned."""
        member = NewMember(
            program_id=self.program_id,
            member_id=self.member_id,
            country=self.country,
            kind="person",
            birth_date=None,
            person_hash=None,
            earlier_hashes=[],
            phone=None,
            referral_code=None,
            card_numbers=[],
        )
        async with transaction(self.services.db) as conn:
            await add_member(conn, member, now=self.services.clock.now())
        self.joined = True

    async def balance(self) -> tuple[int, int, int, int]:
        """Return (active, pending, held, debt)."""
        found = (await read_balances(self.services, [self.key])).get(self.key)
        return (0, 0, 0, 0) if found is None else (found.active, found.pending, found.held, found.debt)

    async def _do(self, step: Step) -> StepResult:
        action = self._with_own_order(step.do)
        match action:
            case Join(kind=kind, birth_date=birth_date):
                return StepResult(credits=await self._join(kind=kind, birth_date=birth_date))
            case Registration():
                return StepResult(credits=await self._join())
            case Order():
                return StepResult(credits=await self._pay(action))
            case Spend():
                held = await self._hold(action)
                earned = await self._pay(self._order(action))
                await self._close(action.order_id, "captured")
                return StepResult(credits=earned, held=held)
            case Hold():
                return StepResult(held=await self._hold(action))
            case QuoteStep():
                return StepResult(quote=await quote(self.services, QuoteRequest(**self._basket(action))))
            case Capture(order_id=order_id):
                await self._close(order_id, "captured")
            case Release(order_id=order_id):
                await self._close(order_id, "released")
            case Redeem(reward_id=reward_id):
                (answer,) = await redeem(self.services, [RewardRequest(*self.key, reward_id)])
                return StepResult(redeemed=_unwrap(answer))
            case Withdraw(points=points, method=method):
                await withdraw(self.services, *self.key, points=points, method=method)
            case StartQuiz(quiz_id=quiz_id):
                return await self._start_quiz(quiz_id)
            case AnswerQuiz(quiz_id=quiz_id, right=right):
                return await self._answer_quiz(quiz_id, right)
            case PlayGame(game_id=game_id, draws=draws):
                return await self._play_game(game_id, draws)
            case EnterDraw(draw_id=draw_id, post=post):
                (entry,) = await enter(self.services, [EntryRequest(*self.key, draw_id, post)])
                _unwrap(entry)
            case FriendJoins() | FriendOrders() | FriendReturns() | UseFriendsCode():
                await self._refer(action)
            case Wait():
                pass
            case OrderDelivered() | OrderCancelled() | OrderReturnedStep() | ReviewRemoved() | ShareRemoved():
                await self._send(_event_of(action, self._event_fields()))
            case activity:
                (done,) = await record(
                    self.services, [MemberActivity(*self.key, activity, self.services.clock.now())]
                )
                recorded = _unwrap(done)
                return StepResult(credits=await self._earned([credit.id for credit in recorded.credits]))
        return StepResult()

    async def _refer(self, action: FriendJoins | FriendOrders | FriendReturns | UseFriendsCode) -> None:
        """Act as a friend of the member, or as one whom a friend has invited."""
        match action:
            case UseFriendsCode():
                advocate = f"{self.member_id}-advocate-{next(_numbers)}"
                await self._register_friend(advocate)
                code = (await read_my_referral(self.services, self.program_id, advocate)).code
                await claim_referral(self.services, *self.key, code)
            case FriendJoins(friend=friend):
                if friend not in self.friends:
                    self.friends[friend] = []
                    await self._register_friend(self._friend_id(friend))
                code = (await read_my_referral(self.services, *self.key)).code
                await claim_referral(self.services, self.program_id, self._friend_id(friend), code)
            case FriendOrders(friend=friend, paid=paid):
                order_id = f"{self._friend_id(friend)}-{next(_numbers)}"
                self.friends[friend].append(order_id)
                line = Line(line_id="1", product_id="phone", paid=paid)
                order = events.OrderPaid(
                    order_id=order_id,
                    channel="web",
                    payment=Payment(method="card"),
                    lines=[line],
                    currency=self.currency,
                )
                fields = {"member_id": self._friend_id(friend)}
                await self._send(events.OrderPaidEvent(**self._event_fields() | fields, data=order))
                reference = events.OrderReference(order_id=order_id)
                await self._send(events.OrderDeliveredEvent(**self._event_fields() | fields, data=reference))
            case FriendReturns(friend=friend):
                for order_id in self.friends[friend]:
                    returned = self._event_fields() | {"member_id": self._friend_id(friend)}
                    data = events.OrderReturned(order_id=order_id, return_id=returned["id"])
                    await self._send(events.OrderReturnedEvent(**returned, data=data))

    def _friend_id(self, friend: str) -> str:
        return f"{self.member_id}-friend-{friend}"

    async def _register_friend(self, member_id: str) -> None:
        registration = MemberRegistration(
            member_id=member_id,
            program=self.program_id,
            country=self.country,
            person_ref=f"person of {member_id}",
        )
        await register_member(self.services, registration)

    def _with_own_order(self, action: Any) -> Any:
        """The action with an order id that no other example's member uses: an order belongs to one member."""
        order_id = getattr(action, "order_id", None)
        return action if order_id is None else replace(action, order_id=f"{self.member_id}:{order_id}")

    async def _join(self, **details: Any) -> list[EarnedCredit]:
        """Register the member; later calls register other members."""
        member_id = f"{self.member_id}-{next(_numbers)}" if self.joined else self.member_id
        registration = MemberRegistration(
            member_id=member_id,
            program=self.program_id,
            country=self.country,
            person_ref=f"person of {member_id}",
            **details,
        )
        joined = await register_member(self.services, registration)
        self.joined = True
        return await self._earned([credit.id for credit in joined.credits], member_id)

    async def _start_quiz(self, quiz_id: str) -> StepResult:
        (started,) = await start(self.services, [StartRequest(*self.key, quiz_id, "en")])
        self.attempts[quiz_id] = _unwrap(started)
        quizzes = await read_quizzes(self.services, *self.key, language="en")
        left = next(quiz.attempts_left for quiz in quizzes if quiz.id == quiz_id)
        return StepResult(begun=(self.attempts[quiz_id], left))

    async def _answer_quiz(self, quiz_id: str, right: int | None) -> StepResult:
        """Answer the first `right` questions of the paper right, as the definition says."""
        attempt = self.attempts[quiz_id]
        (quiz,) = [
            found.definition
            for found in self.services.definitions.every(QUIZ, self.program_id)
            if found.id == quiz_id
        ]
        rights = {question.id: question.right for question in quiz.questions}
        answers = {question.id: rights[question.id] for question in attempt.questions[:right]}
        request = AnswerRequest(*self.key, quiz_id, attempt.attempt_id, answers, "en")
        (answered,) = await answer(self.services, [request])
        graded = _unwrap(answered)
        return StepResult(credits=await self._earned([credit.id for credit in graded.credits]), graded=graded)

    async def _play_game(self, game_id: str, draws: str | None) -> StepResult:
        """Play a game in which the next number draws what the example says."""

        def drawn(game: Game, seed: bytes, number: int) -> Prize | None:
            return next((prize for prize in game.prizes if prize.id == draws), None)

        with patch.object(play_module, "draw", drawn):
            (answered,) = await play(self.services, [PlayRequest(*self.key, game_id, "en")])
        played = _unwrap(answered)
        return StepResult(credits=await self._earned([credit.id for credit in played.credits]), played=played)

    async def _pay(self, order: Order) -> list[EarnedCredit]:
        facts = {name: getattr(order, name) for name in order.__struct_fields__ if name != "discount"}
        paid = events.OrderPaid(**facts, hold_id=self.holds.get(order.order_id))
        await self._send(events.OrderPaidEvent(**self._event_fields(), data=paid))
        ids = await rows(
            self.services.db,
            _CREDITS_OF_ORDER,
            program=self.program_id,
            member=self.member_id,
            order_id=order.order_id,
        )
        return await self._earned([id_ for (id_,) in ids])

    async def _hold(self, action: Hold) -> CheckoutHold:
        codes = [await self._code(reward) for reward in action.coupons]
        request = HoldRequest(
            **self._basket(action),
            order_id=action.order_id,
            points=0 if action.points == "max" else action.points,
            spend_max=action.points == "max",
            coupon_codes=codes,
        )
        (answer,) = await hold(self.services, [request])
        held: CheckoutHold = _unwrap(answer)
        self.holds[action.order_id] = held.hold_id
        return held

    async def _close(self, order_id: str, end: HoldOutcome) -> None:
        (answer,) = await close_holds(self.services, [HoldClosing(self.holds[order_id], end)])
        _unwrap(answer)

    async def _code(self, reward: str) -> str:
        found = await rows(
            self.services.db, _CODES, program=self.program_id, member=self.member_id, reward=reward
        )
        return str(found[0][0])

    async def _earned(self, ids: Sequence[object], member_id: str | None = None) -> list[EarnedCredit]:
        found = await rows(
            self.services.db,
            _CREDITS,
            program=self.program_id,
            member=member_id or self.member_id,
            ids=list(ids),
        )
        earned = [
            msgspec.convert(dict(zip(EarnedCredit.__struct_fields__, row, strict=True)), EarnedCredit)
            for row in found
        ]
        prefix = f"order:{self.member_id}:"
        return [replace(c, source_key=c.source_key.replace(prefix, "order:")) for c in earned]

    async def _send(self, event: AnyEvent) -> None:
        """Send an event. Raises Refusal, without facts."""
        taken = await take_events(self.services, [event])
        for refused in taken.refused.values():
            raise Refusal(refused.code)

    def _event_fields(self) -> dict[str, Any]:
        return {
            "id": f"event-{next(_numbers)}",
            "time": self.services.clock.now(),
            "program": self.program_id,
            "member_id": self.member_id,
        }

    def _basket(self, action: QuoteStep) -> dict[str, Any]:
        return {
            "program": self.program_id,
            "member_id": self.member_id,
            "channel": action.channel,
            "payment": action.payment,
            "lines": action.lines,
            "shipping": action.shipping,
            "currency": action.currency or self.currency,
        }

    def _order(self, action: Spend) -> Order:
        basket = self._basket(action)
        del basket["program"], basket["member_id"]
        return Order(order_id=action.order_id, **basket)


def _event_of(
    event: OrderDelivered
    | OrderCancelled
    | OrderReturnedStep
    | ReviewPublished
    | ReviewRemoved
    | ShareConfirmed
    | ShareRemoved,
    fields: dict[str, Any],
) -> AnyEvent:
    match event:
        case OrderDelivered(order_id=order_id):
            return events.OrderDeliveredEvent(**fields, data=events.OrderReference(order_id=order_id))
        case OrderCancelled(order_id=order_id):
            return events.OrderCancelledEvent(**fields, data=events.OrderReference(order_id=order_id))
        case OrderReturnedStep(order_id=order_id, lines=lines):
            back = UNSET if lines is None else [ReturnedLine(*line) for line in lines.items()]
            data = events.OrderReturned(order_id=order_id, return_id=fields["id"], lines=back)
            return events.OrderReturnedEvent(**fields, data=data)
        case ReviewPublished(review_id=review_id):
            return events.ReviewPublishedEvent(**fields, data=events.ReviewReference(review_id=review_id))
        case ShareConfirmed(share_id=share_id):
            return events.ShareConfirmedEvent(**fields, data=events.ShareReference(share_id=share_id))
        case ReviewRemoved(review_id=review_id):
            return events.ReviewRemovedEvent(**fields, data=events.ReviewReference(review_id=review_id))
        case ShareRemoved(share_id=share_id):
            return events.ShareRemovedEvent(**fields, data=events.ShareReference(share_id=share_id))


def _unwrap(answer: Any) -> Any:
    if isinstance(answer, Exception):
        raise answer
    return answer
