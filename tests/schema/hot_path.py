"""All that members and the shop cause most, and the statements that follow from it."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypeVar

import msgspec

from engage import programs
from engage.domain.activity import AnyActivity, FuelTap, Review, Share
from engage.domain.keys import member_caller
from engage.domain.leaderboards.definition import Leaderboard
from engage.domain.leaderboards.kind import LEADERBOARD
from engage.domain.refusals import Refusal
from engage.flows.activities.activity import MemberActivity, RecordedActivity
from engage.flows.activities.record import record
from engage.flows.checkout.close_holds import HoldClosing, HoldOutcome, close_holds
from engage.flows.checkout.hold import HoldRequest, hold
from engage.flows.definitions.change import add_definition
from engage.flows.members.register import MemberRegistration, register_member
from engage.flows.operations.keys import read_active_keys
from engage.flows.quizzes.answer import AnswerRequest, answer
from engage.flows.quizzes.start import StartRequest, start
from engage.flows.reads.balances import read_balances
from engage.flows.reads.home import read_home
from engage.flows.referrals.claim import claim_referral
from engage.flows.referrals.my_referral import read_my_referral
from engage.flows.rewards.redeem import RewardRequest, redeem
from engage.flows.scheduled.expire import expire_due
from engage.flows.scheduled.reactions import react_due
from engage.flows.scheduled.settle import settle_due
from engage.flows.scheduled.sweep import delete_old_responses
from engage.flows.shop.events import AnyEvent
from engage.flows.shop.take_events import take_events
from engage.runtime.idempotency import Keyed, find_response, keep_after
from engage.runtime.services import Services
from engage.store.idempotency import RequestKey, StoredResponse
from tests.support import first_orders, orders, tiers
from tests.support.clock import StoppedClock
from tests.support.database import rows
from tests.support.protection import origin
from tests.support.statements import sent_statements

STORE, MEMBER, FRIEND = programs.DEMO_STORE, "m-1", "m-2"
BUYER = "m-3"  # Of the third program.
# Besides the store: levels by what was spent and by status, and orders of which the first two are paid.
DOCUMENTS = (programs.text(STORE), tiers.DOCUMENT, first_orders.FIRST_TWO)
SHOP = "0a1b2c3d"  # The caller of the shop's requests is the id of its API key.

QUIZ = "lights"
RIGHT = {
    "speed": ["minutes_8"],
    "screen": ["red", "green", "blue"],
    "rainbow": ["red", "green", "violet"],
    "blue_sky": ["scatter"],
}
LINE = {"line_id": "1", "product_id": "band", "paid": 500_00}
ORDER = {"channel": "app", "payment": {"method": "card"}, "lines": [LINE], "currency": "EUR"}
BOARD = {
    "id": "busiest",
    "program": STORE,
    "title": {"en": "Busiest"},
    "score": "challenge:busy_week",
    "resets": "weekly",
}

VERBS = ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")

T = TypeVar("T")


async def hot_statements(services: Services, clock: StoppedClock) -> set[str]:
    """Let members and the shop do what they do most, and let everything follow from it."""
    await add_definition(services, LEADERBOARD, msgspec.convert(BOARD, Leaderboard), operator="test")
    await services.definitions.refresh(services.db)
    for member_id in (MEMBER, FRIEND):
        registration = MemberRegistration(
            member_id=member_id, program=STORE, country="ES", person_ref=member_id, device_ids=[member_id]
        )
        await register_member(services, registration)
    await tiers.join(services)
    await orders.join(services, BUYER)
    with sent_statements(services.db) as sent:
        await read_active_keys(services.db)
        await _act(services, clock)
        await _spend_and_lose(services, clock)
        await _repeat_requests(services, clock)
        await _reach_levels(services)
        await _deliver_first_orders(services)
        await services.post_commit.drain()
    return {each for each in sent if each.lstrip().startswith(VERBS)}


async def _act(services: Services, clock: StoppedClock) -> None:
    """Let a member tap, share, review, answer, invite, order and look; points fall due."""
    for activity in (
        FuelTap(),
        Share(kind="link", product_id="band"),
        Review(product_id="band", review_id="r-1"),
    ):
        _done(await record(services, [_activity(services, activity)]))
    (repeated,) = await record(services, [_activity(services, FuelTap())])
    assert isinstance(repeated, Refusal)
    begun = _done(await start(services, [StartRequest(STORE, MEMBER, QUIZ, "en")]))
    answers = {question.id: RIGHT[question.id] for question in begun.questions}
    graded = AnswerRequest(STORE, MEMBER, QUIZ, begun.attempt_id, answers, "en", origin())
    assert _done(await answer(services, [graded])).credits
    code = (await read_my_referral(services, STORE, MEMBER)).code
    assert (await claim_referral(services, STORE, FRIEND, code)).state == "pending"

    await _send(services, "order.paid", order_id="o-1", **ORDER)
    await _send(services, "order.delivered", order_id="o-1")
    await _react(services)
    clock.advance(timedelta(minutes=6))
    assert await settle_due(services, now=clock.now())
    assert (await read_home(services, STORE, MEMBER)).balance.active >= 300


async def _spend_and_lose(services: Services, clock: StoppedClock) -> None:
    """Let the member spend, redeem and return; what followed from the order is taken back."""
    await _spend(services, "o-2", "captured")
    await _spend(services, "o-3", "released")
    assert _done(await redeem(services, [RewardRequest(STORE, MEMBER, "coupon_2")])).issued
    await _send(services, "order.returned", order_id="o-1", return_id="b-1")
    await _react(services)
    await expire_due(services, now=clock.now())
    assert (STORE, MEMBER) in await read_balances(services, [(STORE, MEMBER)])  # As the feed does.


async def _repeat_requests(services: Services, clock: StoppedClock) -> None:
    """Keep an answer with the commit of a tap, and one of the shop after its commit; look both up.

    The one who taps is the friend, on the next day: what follows is that both are paid for the referral.
    """
    clock.advance(timedelta(days=1))
    tap = RequestKey(member_caller(STORE, FRIEND), "tap-1", b"the body of a tap")
    order = RequestKey(SHOP, "events-1", b"the body of an event")
    kept = StoredResponse(202, [], b"{}")
    keyed: Keyed[RecordedActivity] = Keyed(tap, lambda _: kept)
    _done(await record(services, [MemberActivity(STORE, FRIEND, FuelTap(), clock.now(), keyed, origin())]))
    await keep_after(services, order, kept)
    for key in (tap, order):
        assert await find_response(services, key) == kept
    await delete_old_responses(services)
    await _react(services)
    paid = await rows(services.db, "SELECT state FROM referrals WHERE member_id = :id", id=FRIEND)
    assert paid == [("approved",)]


async def _reach_levels(services: Services) -> None:
    await tiers.tap(services)
    await tiers.review(services, "r-1")
    await tiers.send(services, tiers.paid(services, "o-1", 150_00), tiers.delivered(services, "o-1"))
    await _react(services)
    assert await tiers.level(services) == "silver"


async def _deliver_first_orders(services: Services) -> None:
    """The last one to be reported was the first."""
    await first_orders.pay(services, [1, 2, 3], BUYER)
    for number in (2, 3, 1):
        at = first_orders.DELIVERED_AT + number * first_orders.HOUR
        event = orders.delivered(services, f"o-{number}", member_id=BUYER, at=at)
        assert await orders.send_events(services, event) == []
        await _react(services)
    assert set(await first_orders.live(services, BUYER)) == {"o-1", "o-2"}


def _activity(services: Services, activity: AnyActivity) -> MemberActivity:
    return MemberActivity(STORE, MEMBER, activity, services.clock.now(), origin=origin())


async def _send(services: Services, kind: str, **facts: Any) -> None:
    now = services.clock.now()
    fields = {"id": f"{kind}-1", "type": kind, "time": now, "program": STORE, "member_id": MEMBER}
    taken = await take_events(services, [msgspec.convert(fields | {"data": facts}, AnyEvent)])
    assert taken.accepted == 1, taken


async def _spend(services: Services, order_id: str, outcome: HoldOutcome) -> None:
    request = {"program": STORE, "member_id": MEMBER, "order_id": order_id, "points": 50}
    fields = request | {name: ORDER[name] for name in ("payment", "lines", "currency")}
    held = _done(await hold(services, [msgspec.convert(fields, HoldRequest)]))
    _done(await close_holds(services, [HoldClosing(held.hold_id, outcome)]))


async def _react(services: Services) -> None:
    """Run the reactions until nothing changes any more."""
    await services.post_commit.drain()
    assert await react_due(services, now=services.clock.now(), on_time=True)
    assert await rows(services.db, "SELECT id FROM member_changes") == [], "a reaction failed"


def _done(answers: Sequence[T | Refusal]) -> T:
    (answer,) = answers
    assert not isinstance(answer, Refusal), answer
    return answer
