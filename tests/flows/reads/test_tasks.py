"""A task is open if and only if what it asks for would be taken. Walks of many steps, one for each kind."""

import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from datetime import timedelta
from typing import Any

import pytest
from msgspec import UNSET

from engage.domain.activity import FuelTap
from engage.domain.challenges.kind import CHALLENGE
from engage.domain.draws.definition import Draw
from engage.domain.draws.kind import DRAW
from engage.domain.games.kind import GAME
from engage.domain.quizzes.kind import QUIZ
from engage.domain.refusals import Refusal
from engage.domain.tasks import Task
from engage.flows.activities.activity import MemberActivity
from engage.flows.activities.record import record
from engage.flows.definitions.change import add_definition, change_definition
from engage.flows.draws.enter import EntryRequest, enter
from engage.flows.games.play import play
from engage.flows.games.player import PlayRequest
from engage.flows.members.erase import erase_member
from engage.flows.members.merge import merge_members
from engage.flows.members.register import MemberRegistration, register_member
from engage.flows.quizzes.answer import AnswerRequest, answer
from engage.flows.quizzes.start import StartRequest, start
from engage.flows.quizzes.views import StartedAttempt
from engage.flows.reads import tasks as reads
from engage.flows.reads.tasks import read_tasks
from engage.flows.referrals.claim import claim_referral
from engage.flows.referrals.my_referral import read_my_referral
from engage.flows.shop.events import AnyEvent
from engage.runtime.services import Services
from engage.runtime.tasks import TaskContext
from engage.settings import Settings
from tests.support import challenges, orders
from tests.support.clock import DAY, NOON, advance, stopped_clock
from tests.support.games import game, prize
from tests.support.orders import PROGRAM
from tests.support.programs import services_with
from tests.support.quizzes import quiz
from tests.support.referrals import TERMS
from tests.support.statements import sent_statements

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)

MEMBERS = ["m-1", "m-2", "m-3"]


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with services_with(settings, challenges.DOCUMENT + TERMS) as opened:
        yield opened


async def tasks(services: Services, member_id: str = "m-1") -> dict[str, Task]:
    found = (await read_tasks(services, PROGRAM, member_id)).tasks
    by_rule = {task.rule: task for task in found}
    assert len(by_rule) == len(found), "one task for each rule"
    for task in found:
        assert (task.state == "open") == (task.why_not is None), task
        assert (task.state == "open") == (task.remaining != 0), task
    return by_rule


class Outcomes(Counter[str]):
    """Numbers of actions that were taken, and of those refused by code."""

    def compare(self, task: Task | None, refusal: Refusal | None) -> None:
        """The task, as it was before the action, has to say what became of it."""
        assert (task is not None and task.state == "open") == (refusal is None), (task, refusal)
        if task is not None and refusal is not None:
            assert task.why_not is not None
            assert task.why_not.code == refusal.code
            for name, value in task.why_not.facts.items():
                assert refusal.facts[name] == value, (name, task, refusal)
        self["taken" if refusal is None else refusal.code] += 1


async def refused(action: Awaitable[object]) -> Refusal | None:
    try:
        answered = await action
    except Refusal as refusal:
        return refusal
    if isinstance(answered, list):
        (answered,) = answered
    return answered if isinstance(answered, Refusal) else None


async def join(services: Services, *member_ids: str) -> None:
    for member_id in member_ids:
        await orders.join(services, member_id)


async def test_a_quiz_is_open_while_an_attempt_can_begin_or_go_on(services: Services) -> None:
    daily = quiz(id="daily", program=PROGRAM, time_limit="PT30M")
    ever = quiz(id="ever", program=PROGRAM, attempts={"count": 3, "window": "ever"})
    closing = quiz(id="closing", program=PROGRAM, until="2026-11-21T20:15:00Z", time_limit="PT30M")
    for each in (daily, ever, closing):
        await add_definition(services, QUIZ, each, operator="test")
    await join(services, *MEMBERS)
    walk, outcomes = random.Random(3), Outcomes()
    for step in range(120):
        if step == 80:
            await merge_members(services, PROGRAM, "m-2", into="m-1", reason="one person", operator="test")
        member_id = walk.choice(MEMBERS if step < 80 else ["m-1", "m-3"])
        quiz_id = walk.choice(["daily", "ever", "closing"])
        task = (await tasks(services, member_id)).get(f"quiz:{quiz_id}")
        (begun,) = await start(services, [StartRequest(PROGRAM, member_id, quiz_id, "en")])
        outcomes.compare(task, begun if isinstance(begun, Refusal) else None)
        if isinstance(begun, StartedAttempt) and walk.random() < 0.6:
            given = AnswerRequest(PROGRAM, member_id, quiz_id, begun.attempt_id, {}, "en")
            assert await refused(answer(services, [given])) is None
        advance(services, walk.choice([timedelta(), 5 * MINUTE, 20 * MINUTE, 40 * MINUTE]))
    assert outcomes.keys() == {"taken", "no_attempts_left", "not_found"}


async def test_an_attempt_goes_on_after_its_quiz_has_closed(services: Services) -> None:
    closing = quiz(id="closing", program=PROGRAM, until="2026-11-21T12:01:00Z")
    await add_definition(services, QUIZ, closing, operator="test")
    await join(services, "m-1")
    request, outcomes = StartRequest(PROGRAM, "m-1", "closing", "en"), Outcomes()
    for _ in range(4):
        task = (await tasks(services)).get("quiz:closing")
        outcomes.compare(task, await refused(start(services, [request])))
        advance(services, MINUTE)
    assert outcomes == {"taken": 2, "not_found": 2}, "two minutes to answer, one of them after the end"


async def test_a_person_who_joins_again_has_no_attempts_for_ever_again(services: Services) -> None:
    ever = quiz(id="ever", program=PROGRAM, attempts={"count": 1, "window": "ever"})
    await add_definition(services, QUIZ, ever, operator="test")
    person: dict[str, Any] = {"program": PROGRAM, "country": "ES", "person_ref": "DNI 1"}
    await register_member(services, MemberRegistration(member_id="m-1", **person))
    (begun,) = await start(services, [StartRequest(PROGRAM, "m-1", "ever", "en")])
    assert isinstance(begun, StartedAttempt)
    right = {"one": ["b"]}
    await answer(services, [AnswerRequest(PROGRAM, "m-1", "ever", begun.attempt_id, right, "en")])
    await erase_member(services, PROGRAM, "m-1", operator="test")
    await register_member(services, MemberRegistration(member_id="m-2", **person))
    task = (await tasks(services, "m-2"))["quiz:ever"]
    outcomes = Outcomes()
    outcomes.compare(task, await refused(start(services, [StartRequest(PROGRAM, "m-2", "ever", "en")])))
    assert outcomes.keys() == {"no_attempts_left"}


async def test_a_game_is_open_while_chances_are_left_by_the_terms_of_its_run(services: Services) -> None:
    wheel = game(
        program=PROGRAM,
        until="2026-11-24T12:00:00",
        chances={"count": 2, "window": "day", "extra_after": "PT2H"},
        prizes=[prize(odds="1/2"), prize("large", points=70, odds="1/1000")],
    )
    scarce = game(
        "scarce",
        program=PROGRAM,
        chances={"count": 3, "window": "week"},
        prizes=[prize("five_off", points=None, reward="five_off")],
    )
    later = game("later", program=PROGRAM, **{"from": "2026-11-22T09:00:00"}, until="2026-11-22T18:00:00")
    for each in (wheel, scarce, later):
        await add_definition(services, GAME, each, operator="test")
    await join(services, *MEMBERS)
    walk, outcomes = random.Random(5), Outcomes()
    assert (await tasks(services))["game:wheel"].points == 70
    assert (await tasks(services))["game:scarce"].points is None, "a reward"
    for step in range(120):
        if step == 20:
            sooner = services.clock.now() + HOUR
            changed = game(program=PROGRAM, until=sooner.isoformat(), chances={"count": 9, "window": "day"})
            await change_definition(services, GAME, changed, expected_version=1, operator="test")
        if step == 100:  # Its run has ended. The next one is committed by the first play.
            times = {"from": "2026-11-24T00:00:00", "until": "2026-12-01T00:00:00"}
            again = game("later", program=PROGRAM, **times)
            await change_definition(services, GAME, again, expected_version=1, operator="test")
            assert (await tasks(services))["game:later"].remaining == 3
        if step == 60:
            await merge_members(services, PROGRAM, "m-2", into="m-1", reason="one person", operator="test")
        member_id = walk.choice(MEMBERS if step < 60 else ["m-1", "m-3"])
        game_id = walk.choice(["wheel", "scarce", "later"])
        task = (await tasks(services, member_id)).get(f"game:{game_id}")
        request = PlayRequest(PROGRAM, member_id, game_id, "en")
        (played,) = await play(services, [request])
        outcomes.compare(task, played if isinstance(played, Refusal) else None)
        if not isinstance(played, Refusal):
            after = (await tasks(services, member_id))[f"game:{game_id}"]
            assert (after.remaining, after.resets_at) == (played.chances_left, played.resets_at)
        advance(services, walk.choice([timedelta(), MINUTE, HOUR, 3 * HOUR]))
    assert outcomes.keys() == {"taken", "no_chances_left", "not_found"}


async def test_nothing_more_can_be_won_than_the_limit_of_wins(services: Services) -> None:
    limited = game(program=PROGRAM, wins_per_member={"count": 1, "window": "day"})
    await add_definition(services, GAME, limited, operator="test")
    await join(services, "m-1")
    assert (await tasks(services))["game:wheel"].points == 10
    await play(services, [PlayRequest(PROGRAM, "m-1", "wheel", "en")])
    assert (await tasks(services))["game:wheel"].points == 0, "a play would be taken, and win nothing"
    advance(services, DAY)
    assert (await tasks(services))["game:wheel"].points == 10


def draw(id_: str, **changes: Any) -> Draw:
    times = {"opens_at": NOON, "closes_at": NOON + 10 * HOUR}
    fields: dict[str, Any] = {"program": PROGRAM, "title": {"en": id_}, "winners": 1, "points": 100}
    return Draw(id=id_, **(times | fields | changes))


async def test_a_draw_is_open_as_it_began_until_the_member_has_entered(services: Services) -> None:
    for each in (draw("begun"), draw("changed"), draw("later", opens_at=NOON + 3 * HOUR)):
        await add_definition(services, DRAW, each, operator="test")
    members = [f"m-{n}" for n in range(12)]
    await join(services, *members)
    await enter(services, [EntryRequest(PROGRAM, "m-0", "begun")])
    for id_ in ("begun", "changed"):
        sooner = draw(id_, closes_at=NOON + 4 * HOUR, title={"en": "sooner"})
        await change_definition(services, DRAW, sooner, expected_version=1, operator="test")
    walk, outcomes = random.Random(2), Outcomes()
    for step in range(100):
        if step == 50:
            await merge_members(services, PROGRAM, "m-0", into="m-1", reason="one person", operator="test")
        member_id = walk.choice(members if step < 50 else members[1:])
        draw_id = walk.choice(["begun", "changed", "later"])
        task = (await tasks(services, member_id)).get(f"draw:{draw_id}")
        refusal = await refused(enter(services, [EntryRequest(PROGRAM, member_id, draw_id)]))
        outcomes.compare(task, refusal)
        if draw_id == "begun" and task is not None:
            assert task.title == {"en": "begun"}, "it goes on as it began"
        advance(services, walk.choice([timedelta(), 3 * MINUTE, 15 * MINUTE]))
    assert outcomes.keys() == {"taken", "already_entered", "draw_closed", "not_found"}


async def test_a_full_draw_is_blocked(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    await add_definition(services, DRAW, draw("small"), operator="test")
    await join(services, "m-1", "m-2")
    for module in ("enter", "tasks"):
        monkeypatch.setattr(f"engage.flows.draws.{module}.MOST_ENTRIES", 1)
    await enter(services, [EntryRequest(PROGRAM, "m-1", "small")])
    task, outcomes = (await tasks(services, "m-2"))["draw:small"], Outcomes()
    outcomes.compare(task, await refused(enter(services, [EntryRequest(PROGRAM, "m-2", "small")])))
    assert (task.state, [*outcomes]) == ("blocked", ["draw_full"])


async def test_a_code_can_be_used_while_both_tasks_of_the_referral_are_open(services: Services) -> None:
    """Three friends a month for each advocate, and friends of three days at most, before an order."""
    walk, outcomes = random.Random(4), Counter[str]()
    advocates = ["a-1", "a-2"]
    await join(services, *advocates)
    codes = {name: (await read_my_referral(services, PROGRAM, name)).code for name in advocates}
    friends: list[str] = []
    for step in range(70):
        if step % 4 == 0:
            friends.append(f"f-{step}")
            await join(services, friends[-1])
        friend, advocate = walk.choice(friends[-6:]), walk.choice(advocates)
        if walk.random() < 0.1:
            line = orders.line(paid=2000)
            sent: list[AnyEvent] = [
                orders.paid(services, line, order_id=f"o-{step}", member_id=friend),
                orders.delivered(services, f"o-{step}", member_id=friend),
            ]
            assert await orders.send_events(services, *sent) == []
        invited = (await tasks(services, friend))["referral:friend"]
        inviting = (await tasks(services, advocate))["referral:advocate"]
        refusal = await refused(claim_referral(services, PROGRAM, friend, codes[advocate]))
        assert (invited.state == inviting.state == "open") == (refusal is None), (invited, inviting, refusal)
        said = [task.why_not for task in (invited, inviting) if task.why_not is not None]
        if refusal is not None:
            assert said[0].code == refusal.code
            assert dict(said[0].facts) == dict(refusal.facts)
        outcomes["taken" if refusal is None else refusal.code] += 1
        advance(services, walk.choice([timedelta(), 8 * HOUR, 20 * HOUR]))
    assert outcomes.keys() == {"taken", "already_referred", "too_late", "limit_reached"}


async def test_a_challenge_is_open_while_it_runs_and_has_steps_ahead(services: Services) -> None:
    """The task agrees with the list of challenges, whatever was done, taken back, or merged."""
    await challenges.define(services)
    await challenges.define(
        services, id="daily", goal=challenges.TAPS, repeats="daily", steps=[{"at": 1, "points": 5}]
    )
    await challenges.define(services, id="spender", goal={"kind": "spend_minor"}, until="2026-11-24T00:00:00")
    await challenges.define(
        services, id="earner", goal={"kind": "points_earned"}, steps=[{"at": 50, "reward": "five_off"}]
    )
    await join(services, "m-1", "m-2")
    walk, states = random.Random(1), set[tuple[str, str]]()
    members = ["m-1", "m-2"]
    for step in range(40):
        if step == 25:
            await merge_members(services, PROGRAM, "m-2", into="m-1", reason="one person", operator="test")
            members = ["m-1"]
        member_id = walk.choice(members)
        match walk.choice(["tap", "review", "order", "remove"]):
            case "tap":
                await record(services, [MemberActivity(PROGRAM, member_id, FuelTap(), services.clock.now())])
            case "review":
                await challenges.write_reviews(services, f"r-{step}", member_id=member_id)
            case "order":
                line = orders.line(paid=2)
                event = orders.paid(services, line, order_id=f"o-{step}", member_id=member_id)
                assert await orders.send_events(services, event) == []
            case _:
                await orders.send_events(services, orders.review_removed(services, f"r-{step - 2}"))
        found = await tasks(services, member_id)
        now = services.clock.now()
        for view in await challenges.shown(services, member_id):
            task = found.pop(CHALLENGE.rule_id(view.id), None)
            ahead = [step.points for step in view.steps if step.reached_at is UNSET]
            if view.ends_at is not None and view.ends_at <= now:
                assert task is None, "it is over"
                continue
            assert task is not None
            assert task.state == {"running": "open", "done": "done"}[view.state]
            assert task.remaining == len(ahead)
            assert task.points == (sum(ahead or [step.points for step in view.steps]) or None)
            assert task.resets_at == (view.ends_at if view.id == "daily" else None)
            states.add((view.id, task.state))
        assert not any(rule.startswith("challenge:") for rule in found)
        advance(services, walk.choice([timedelta(), HOUR, 7 * HOUR]))
    assert {("daily", "open"), ("daily", "done"), ("critic", "done"), ("earner", "done")} <= states


async def test_all_sources_are_read_by_one_statement_and_name_no_parameter_twice(services: Services) -> None:
    await add_definition(services, QUIZ, quiz(program=PROGRAM), operator="test")
    await add_definition(services, GAME, game(program=PROGRAM), operator="test")
    await add_definition(services, DRAW, draw("draw"), operator="test")
    await challenges.define(services)
    await join(services, "m-1")
    clock = stopped_clock(services)
    program, market = services.programs.in_force(PROGRAM, at=clock.at, country="ES")
    member = await services.members.get(services.db, PROGRAM, "m-1")
    context = TaskContext(services, clock.at, member, program, market, program.earning, [])
    names = [name for source in reads.SOURCES for name in source.parameters(context)]
    assert len(set(names)) == len(names)
    with sent_statements(services.db) as sent:
        found = await tasks(services)
    assert len(sent) == 1
    assert {"quiz", "game", "draw", "challenge", "referral"} <= {task.activity for task in found.values()}
