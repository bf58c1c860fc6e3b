"""The statements that members and the shop cause most say whose rows they mean.

Where the tables are divided over several databases (`tests/schema/test_distribution.py`), a statement that
names the member or the account, or joins on them, reads the databases of these members alone.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, TypeVar

import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from engage import programs
from engage.domain.activity import AnyActivity, FuelTap, Review, Share
from engage.domain.refusals import Refusal
from engage.flows.activities.activity import MemberActivity
from engage.flows.activities.record import record
from engage.flows.checkout.close_holds import HoldClosing, HoldOutcome, close_holds
from engage.flows.checkout.hold import HoldRequest, hold
from engage.flows.members.register import MemberRegistration, register_member
from engage.flows.quizzes.answer import AnswerRequest, answer
from engage.flows.quizzes.start import StartRequest, start
from engage.flows.reads.balances import read_balances
from engage.flows.reads.home import read_home
from engage.flows.rewards.redeem import RewardRequest, redeem
from engage.flows.scheduled.expire import expire_due
from engage.flows.scheduled.settle import settle_due
from engage.flows.shop.events import AnyEvent
from engage.flows.shop.take_events import take_events
from engage.runtime.database import open_database
from engage.runtime.services import Services
from engage.settings import Settings
from tests.schema.test_distribution import DIVIDED_BY
from tests.support.clock import NOON, StoppedClock
from tests.support.plans import plans_of, unbound_tables
from tests.support.programs import services_with
from tests.support.protection import origin
from tests.support.statements import sent_statements

PROGRAM, MEMBER = programs.DEMO_STORE, "m-1"
QUIZ = "lights"
RIGHT = {
    "speed": ["minutes_8"],
    "screen": ["red", "green", "blue"],
    "rainbow": ["red", "green", "violet"],
    "blue_sky": ["scatter"],
}
LINE = {"line_id": "1", "product_id": "band", "paid": 500_00}
ORDER = {"channel": "app", "payment": {"method": "card"}, "lines": [LINE], "currency": "EUR"}

# Besides by its member, a row is found by these columns, each with the road (docs/scaling.md).
ALSO_FOUND_BY: Final[Mapping[str, tuple[str, str]]] = {
    "balances": ("account", "the row of a balance has both"),
    "order_owners": ("order_id", "a register by the order: another member may have paid it"),
    "shop_events": ("event_id", "a register by the event: the shop may send it again for another member"),
    "holds": ("id", "the shop names a hold by its id alone, and a merger may move it: a register by the id"),
    "members": ("merged_into", "who was merged into a member is written beside the survivor too"),
}
COLUMNS: Final[Mapping[str, Collection[str]]] = {
    table: {column, ALSO_FOUND_BY.get(table, (column, ""))[0]} for table, column in DIVIDED_BY.items()
}

# What is due is looked for in each database by itself: parts of statements that begin with the credits of all
# members. Whatever else they read is found by these credits' accounts.
OF_ALL_THAT_IS_DUE: Final[Mapping[str, str]] = {
    "SELECT c.ctid AS place FROM stored_credits": "settlement takes credits that nobody holds",
    "pg_try_advisory_xact_lock(hashtextextended('settlement', 0))": "it waits for a balance in use",
    "SELECT ctid AS place, account": "it settles the credits that it has locked, by their places",
    "coalesce(c.lot_ends_at, c.expires_at) <=": "expiration takes members whose lots have ended",
}

VERBS = ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")

T = TypeVar("T")


async def test_hot_statements_name_the_member(settings: Settings) -> None:
    clock = StoppedClock(NOON)
    async with services_with(settings, programs.text(PROGRAM), clock=clock) as services:
        sent = await _hot_statements(services, clock)
        async with services.db.connect() as conn:
            plans = await plans_of(conn, sorted(sent))
    unnamed = {}
    for statement, plan in plans.items():
        is_due = any(part in statement for part in OF_ALL_THAT_IS_DUE)
        if missing := unbound_tables(plan, COLUMNS, free=["stored_credits"] if is_due else []):
            unnamed[statement] = missing
    assert unnamed == {}
    for part in OF_ALL_THAT_IS_DUE:
        assert any(part in statement for statement in plans), f"nothing begins so any more: {part}"


async def _hot_statements(services: Services, clock: StoppedClock) -> set[str]:
    """Let a member tap, share, review, answer, order, look, spend and redeem; points fall due."""
    registration = MemberRegistration(
        member_id=MEMBER, program=PROGRAM, country="ES", person_ref="somebody", device_ids=["d-1"]
    )
    await register_member(services, registration)
    with sent_statements(services.db) as sent:
        for activity in (
            FuelTap(),
            Share(kind="link", product_id="band"),
            Review(product_id="band", review_id="r-1"),
        ):
            _done(await record(services, [_activity(services, activity)]))
        (repeated,) = await record(services, [_activity(services, FuelTap())])
        assert isinstance(repeated, Refusal)
        begun = _done(await start(services, [StartRequest(PROGRAM, MEMBER, QUIZ, "en")]))
        answers = {question.id: RIGHT[question.id] for question in begun.questions}
        graded = AnswerRequest(PROGRAM, MEMBER, QUIZ, begun.attempt_id, answers, "en", origin())
        assert _done(await answer(services, [graded])).credits

        await _send(services, "order.paid", order_id="o-1", **ORDER)
        await _send(services, "order.delivered", order_id="o-1")
        clock.advance(timedelta(minutes=6))
        assert await settle_due(services, now=clock.now())
        home = await read_home(services, PROGRAM, MEMBER)
        assert home.balance.active >= 300

        await _spend(services, "o-2", "captured")
        await _spend(services, "o-3", "released")
        assert _done(await redeem(services, [RewardRequest(PROGRAM, MEMBER, "coupon_2")])).issued
        await _send(services, "order.returned", order_id="o-1", return_id="b-1")
        await expire_due(services, now=clock.now())
        assert (PROGRAM, MEMBER) in await read_balances(services, [(PROGRAM, MEMBER)])  # As the feed does.
        await services.post_commit.drain()
    return {each for each in sent if each.lstrip().startswith(VERBS)}


def _activity(services: Services, activity: AnyActivity) -> MemberActivity:
    return MemberActivity(PROGRAM, MEMBER, activity, services.clock.now(), origin=origin())


async def _send(services: Services, kind: str, **facts: Any) -> None:
    now = services.clock.now()
    fields = {"id": f"{kind}-1", "type": kind, "time": now, "program": PROGRAM, "member_id": MEMBER}
    taken = await take_events(services, [msgspec.convert(fields | {"data": facts}, AnyEvent)])
    assert taken.accepted == 1, taken


async def _spend(services: Services, order_id: str, outcome: HoldOutcome) -> None:
    request = {"program": PROGRAM, "member_id": MEMBER, "order_id": order_id, "points": 50}
    fields = request | {name: ORDER[name] for name in ("payment", "lines", "currency")}
    held = _done(await hold(services, [msgspec.convert(fields, HoldRequest)]))
    _done(await close_holds(services, [HoldClosing(held.hold_id, outcome)]))


def _done(answers: Sequence[T | Refusal]) -> T:
    (answer,) = answers
    assert not isinstance(answer, Refusal), answer
    return answer


@pytest.fixture(scope="module")
async def planner(module_database: Settings) -> AsyncIterator[AsyncConnection]:
    db = open_database(module_database.database_url, pool_size=1)
    async with db.connect() as conn:
        yield conn
    await db.dispose()


@pytest.mark.parametrize(
    ("statement", "unbound"),
    [
        ("SELECT FROM credits WHERE program_id = $1 AND member_id = $2", set()),
        ("SELECT FROM balances JOIN unnest(CAST($1 AS text[])) AS of (member_id) USING (member_id)", set()),
        ("SELECT FROM holds WHERE program_id = $1 AND member_id = ANY($2)", set()),
        ("SELECT FROM orders WHERE order_id = $1", {"orders as orders"}),
        ("DELETE FROM coupons WHERE program_id = $1 AND member_id <> $2", {"coupons as coupons"}),
        ("SELECT FROM holds WHERE member_id = $1 OR order_id = $2", {"holds as holds"}),
        ("SELECT FROM holds WHERE member_id = lower(order_id)", {"holds as holds"}),
        ("SELECT FROM holds h JOIN coupons c USING (program_id, member_id)", {"holds as h", "coupons as c"}),
        (
            "SELECT FROM holds h JOIN coupons c USING (program_id, member_id) WHERE c.member_id = $1",
            set(),
        ),
        (
            "SELECT (SELECT count(*) FROM holds h WHERE h.order_id = o.order_id) "
            "FROM orders o WHERE member_id = $1",
            {"holds as h"},
        ),
        (
            "SELECT FROM holds WHERE member_id IN (SELECT member_id FROM orders)",
            {"orders as orders", "holds as holds"},
        ),
    ],
)
async def test_a_statement_that_does_not_name_the_member_is_found(
    planner: AsyncConnection, statement: str, unbound: set[str]
) -> None:
    plans = await plans_of(planner, [statement])
    assert unbound_tables(plans[statement], COLUMNS) == unbound
