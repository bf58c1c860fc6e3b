"""Quizzes over HTTP: operators define them, members take them, and nothing shows an answer too early."""

from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import uuid4

import httpx
import pytest
from structlog.testing import capture_logs

from engage.flows.scheduled.settle import settle_due
from engage.settings import Settings
from tests.api.calling import PROGRAM, Caller, Calling, calling, fields, problem
from tests.support.clock import DAY, FIVE_MINUTES, NOON, StoppedClock, advance, stopped_clock
from tests.support.quizzes import QUESTIONS, TELLING, question, quiz_document

RIGHT = {"one": ["b"], "several": ["c", "a"], "order": ["d", "b", "a", "c"]}
WRONG: list[object] = [{"q": ["theta"]}, {"x": []}, None]
_numbers = count(1)


@pytest.fixture(scope="module")
async def market(installed: Settings) -> AsyncIterator[Calling]:
    async with calling(installed, StoppedClock(NOON)) as opened:
        yield opened


async def defined(market: Calling, **changes: Any) -> str:
    """A new quiz; its id."""
    id_ = f"quiz-{next(_numbers)}"
    document = quiz_document(id=id_, program=PROGRAM, **changes)
    answer = await market.operator.post("/v1/admin/quizzes", document)
    assert answer.status_code == 201, answer.text
    assert answer.json() == {"id": id_, "version": 1}
    return id_


async def started(member: Caller, quiz_id: str, **headers: str) -> dict[str, Any]:
    answer = await member.post(f"/v1/quizzes/{quiz_id}/attempts", **headers)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def answered(member: Caller, quiz_id: str, attempt_id: str, answers: object) -> httpx.Response:
    path = f"/v1/quizzes/{quiz_id}/attempts/{attempt_id}/answers"
    return await member.post(path, {"answers": answers})


async def listed(member: Caller, quiz_id: str, **headers: str) -> dict[str, Any]:
    answer = await member.get("/v1/quizzes", **headers)
    assert answer.status_code == 200
    found: dict[str, Any] = next(quiz for quiz in answer.json()["items"] if quiz["id"] == quiz_id)
    return found


async def test_a_quiz_is_listed_begun_answered_and_paid(market: Calling) -> None:
    quiz_id = await defined(market)
    member = await market.joined()
    assert await listed(member, quiz_id, accept_language="fr-BE") == {
        "id": quiz_id,
        "title": "Quiz du printemps",
        "questions": 3,
        "time_limit_s": 120,
        "attempts_left": 2,
        "resets_at": "2026-11-21T23:00:00Z",
        "points_max": 10,
        "closes_at": None,
        "open_until": None,
    }
    attempt = await started(member, quiz_id, accept_language="fr")
    assert attempt["expires_at"] == "2026-11-21T12:02:00Z"
    assert [(one["id"], one["kind"], one["text"]) for one in attempt["questions"]] == [
        ("one", "one", "Quoi de one ?"),
        ("several", "several", "Quoi de several ?"),
        ("order", "order", "Quoi de order ?"),
    ]
    options = attempt["questions"][0]["options"]
    assert options[0] == {"id": "a", "text": "Option a"}, "the fallback is English"
    now = await listed(member, quiz_id)
    assert (now["attempts_left"], now["open_until"]) == (1, attempt["expires_at"])

    graded = await answered(member, quiz_id, attempt["attempt_id"], RIGHT)
    assert graded.status_code == 202
    assert (graded.headers["content-language"], graded.headers["vary"]) == ("en", "accept-language")
    (credit,) = graded.json()["credits"]
    assert (credit["rule"], credit["points"], credit["state"]) == (f"quiz:{quiz_id}", 10, "pending")
    assert credit["due_at"] == "2026-11-21T12:05:00Z"
    assert credit["why"]["text"] == (
        "You took a quiz on 21 November 2026. Right answers: 3 of 3, for 10 points."
    )
    assert {name: graded.json()[name] for name in ("correct", "total", "passed")} == {
        "correct": 3,
        "total": 3,
        "passed": True,
    }
    assert graded.json()["review"][1] == {
        "question_id": "several",
        "right": True,
        "right_options": ["a", "c"],
        "explanation": f"several {TELLING}",
    }
    assert (f"quiz:{quiz_id}:2026-11-21:1", "pending") in await market.credits(member)
    why = (await member.get(f"/v1/me/credits/{credit['id']}", accept_language="de")).json()["why"]
    assert why["activity"] == {
        "activity": "quiz_attempt",
        "quiz_id": quiz_id,
        "attempt_id": attempt["attempt_id"],
    }
    texts = [step["text"] for step in why["trace"]]
    assert texts == [
        f"quiz:{quiz_id}: Alle Antworten sind richtig: 4 Punkte dazu.",
        f"quiz:{quiz_id}: Richtige Antworten: 3 von 3, dafür gibt es 10 Punkte.",
    ]


async def test_the_same_answers_again_are_answered_again_and_others_are_refused(market: Calling) -> None:
    quiz_id = await defined(market)
    member = await market.joined()
    attempt_id = (await started(member, quiz_id))["attempt_id"]
    first = await answered(member, quiz_id, attempt_id, {"one": ["b"], "several": []})
    assert (first.json()["correct"], first.json()["passed"]) == (1, True)
    again = await answered(member, quiz_id, attempt_id, {"one": ["b"]})
    assert (again.status_code, again.json()) == (202, first.json())
    problem(await answered(member, quiz_id, attempt_id, RIGHT), 409, "already_answered")
    await settle_due(market.services, now=advance(market.services, FIVE_MINUTES))
    late = await answered(member, quiz_id, attempt_id, {"one": ["b"]})
    assert late.status_code == 202, "after the time limit too"
    assert late.json()["credits"][0]["state"] == "active"
    assert len(await market.credits(member)) == 2, "one of joining, one of the quiz"


async def test_a_new_attempt_begins_when_the_open_one_is_answered_or_over(market: Calling) -> None:
    quiz_id = await defined(market)
    member = await market.joined()
    first = await started(member, quiz_id)
    advance(market.services, timedelta(seconds=119))
    assert await started(member, quiz_id) == first, "still open"
    advance(market.services, timedelta(seconds=1))
    over = await answered(member, quiz_id, first["attempt_id"], RIGHT)
    assert problem(over, 410, "attempt_expired")["expires_at"] == first["expires_at"]
    second = await started(member, quiz_id)
    assert second["attempt_id"] != first["attempt_id"]
    assert (await answered(member, quiz_id, second["attempt_id"], {})).json()["credits"] == []
    refused = problem(await member.post(f"/v1/quizzes/{quiz_id}/attempts"), 409, "no_attempts_left")
    assert refused["resets_at"] == (await listed(member, quiz_id))["resets_at"]
    assert (await listed(member, quiz_id))["attempts_left"] == 0
    stopped_clock(market.services).at += DAY
    assert (await listed(member, quiz_id))["attempts_left"] == 2


async def test_attempts_for_ever_never_come_back(market: Calling) -> None:
    quiz_id = await defined(market, attempts={"count": 1, "window": "ever"})
    member = await market.joined()
    attempt = await started(member, quiz_id)
    assert (await answered(member, quiz_id, attempt["attempt_id"], RIGHT)).status_code == 202
    assert (f"quiz:{quiz_id}:ever:1", "pending") in await market.credits(member)
    stopped_clock(market.services).at += 400 * DAY
    refused = problem(await member.post(f"/v1/quizzes/{quiz_id}/attempts"), 409, "no_attempts_left")
    assert refused["resets_at"] is None
    assert (await listed(member, quiz_id))["resets_at"] is None


async def test_unknown_closed_and_foreign_things_are_not_found(market: Calling) -> None:
    now = market.services.clock.now()
    member, other = await market.joined(), await market.joined()
    quiz_id, another = await defined(market), await defined(market)
    opens = await defined(market, **{"from": (now + DAY).isoformat()})
    closed = await defined(market, until=now.isoformat())
    for unknown in ("nothing", opens, closed, "%00", "a%2Fb"):
        problem(await member.post(f"/v1/quizzes/{unknown}/attempts"), 404, "not_found")
    shown = [quiz["id"] for quiz in (await member.get("/v1/quizzes")).json()["items"]]
    assert quiz_id in shown
    assert not {opens, closed} & set(shown)
    attempt_id = (await started(member, quiz_id))["attempt_id"]
    problem(await answered(other, quiz_id, attempt_id, RIGHT), 404, "not_found")
    problem(await answered(member, another, attempt_id, RIGHT), 404, "not_found")
    problem(await answered(member, quiz_id, str(uuid4()), RIGHT), 404, "not_found")
    problem(await answered(member, quiz_id, "attempt", RIGHT), 404, "not_found")


async def test_an_attempt_that_has_begun_can_be_ended_after_the_quiz_has_closed(market: Calling) -> None:
    until = market.services.clock.now() + timedelta(minutes=1)
    quiz_id = await defined(market, until=until.isoformat())
    member = await market.joined()
    attempt = await started(member, quiz_id)
    stopped_clock(market.services).at = until
    assert await started(member, quiz_id) == attempt
    assert (await answered(member, quiz_id, attempt["attempt_id"], RIGHT)).status_code == 202
    problem(await member.post(f"/v1/quizzes/{quiz_id}/attempts"), 404, "not_found")


@pytest.mark.parametrize(
    ("answers", "wrong"),
    [
        ({"two": ["a"]}, ["answers.two"]),
        ({"one": ["b", "x"], "several": ["y"]}, ["answers.one[1]", "answers.several[0]"]),
        ({"one": "b"}, ["answers.one"]),
        ({"one": [1]}, ["answers.one[0]"]),
        ({"one": ["a"] * 41}, ["answers.one"]),
        (["one"], ["answers"]),
        (None, ["answers"]),
    ],
)
async def test_answers_of_another_shape_are_refused_and_the_attempt_stays_open(
    market: Calling, answers: object, wrong: list[str]
) -> None:
    quiz_id = await defined(market)
    member = await market.joined()
    attempt_id = (await started(member, quiz_id))["attempt_id"]
    refused = problem(await answered(member, quiz_id, attempt_id, answers), 400, "invalid_request")
    assert fields(refused) == wrong
    assert (await answered(member, quiz_id, attempt_id, RIGHT)).json()["correct"] == 3


async def test_a_question_that_was_not_drawn_is_unknown(market: Calling) -> None:
    pool = [question(f"q{n}", "one", ["a"]) for n in range(4)]
    quiz_id = await defined(market, questions=pool, draw=1, shuffle=True)
    member = await market.joined()
    attempt = await started(member, quiz_id)
    (asked,) = [one["id"] for one in attempt["questions"]]
    everything = {f"q{n}": ["a"] for n in range(4)}
    refused = problem(
        await answered(member, quiz_id, attempt["attempt_id"], everything), 400, "invalid_request"
    )
    assert set(fields(refused)) == {f"answers.q{n}" for n in range(4)} - {f"answers.{asked}"}


async def test_an_idempotency_key_begins_one_attempt(market: Calling) -> None:
    quiz_id = await defined(market)
    member = await market.joined()
    first = await started(member, quiz_id, idempotency_key="key")
    assert (await answered(member, quiz_id, first["attempt_id"], RIGHT)).status_code == 202
    again = await member.post(f"/v1/quizzes/{quiz_id}/attempts", idempotency_key="key")
    assert (again.json(), again.headers["idempotency-replayed"]) == (first, "true")
    assert (await started(member, quiz_id, idempotency_key="other"))["attempt_id"] != first["attempt_id"]


async def test_nothing_shows_a_right_answer_before_it_is_graded(market: Calling) -> None:
    """No reply, header or log has it, whoever asks."""
    secret = [question("q", "order", ["zeta", "eta"], options=""), QUESTIONS[0]]
    secret[0]["options"] = [{"id": id_, "text": {"en": id_}} for id_ in ("eta", "zeta")]
    with capture_logs() as logs:
        quiz_id = await defined(market, questions=secret)
        member = await market.joined()
        replies = [await member.post(f"/v1/quizzes/{quiz_id}/attempts")]
        attempt_id = replies[0].json()["attempt_id"]
        replies += [await member.get(path) for path in ("/v1/quizzes", "/v1/program", "/v1/me", "/v1/tasks")]
        replies += [await answered(member, quiz_id, attempt_id, wrong) for wrong in WRONG]
        stopped_clock(market.services).at += timedelta(minutes=3)
        replies.append(await answered(member, quiz_id, attempt_id, {"q": ["zeta", "eta"]}))
    assert [reply.status_code for reply in replies[5:]] == [400, 400, 400, 410]
    for reply in replies:
        assert TELLING not in reply.text + str(reply.headers), reply.url
        assert "right" not in reply.text, reply.url
    assert TELLING not in str(logs)
    for path in ("/v1/admin/quizzes", f"/v1/admin/quizzes/{quiz_id}"):
        problem(await member.get(path), 401, "unauthorized")
        problem(await market.shop.get(path), 403, "forbidden")
    shown = await market.operator.get(f"/v1/admin/quizzes/{quiz_id}")
    assert TELLING in shown.text


async def test_what_began_under_a_version_goes_on_under_it(market: Calling) -> None:
    quiz_id = await defined(market)
    member, other = await market.joined(), await market.joined()
    attempt = await started(member, quiz_id)
    shown = await market.operator.get(f"/v1/admin/quizzes/{quiz_id}")
    changed = quiz_document(
        id=quiz_id, program=PROGRAM, points_per_right=100, questions=[question("new", "one", ["a"])]
    )
    put = await market.client.put(
        f"/v1/admin/quizzes/{quiz_id}",
        json=changed,
        headers=market.operator._headers | {"if-match": shown.headers["etag"]},
    )
    assert put.status_code == 200, put.text
    assert await started(member, quiz_id) == attempt
    graded = (await answered(member, quiz_id, attempt["attempt_id"], RIGHT)).json()
    assert graded["credits"][0]["points"] == 10
    fresh = await started(other, quiz_id)
    assert [one["id"] for one in fresh["questions"]] == ["new"]


async def test_a_wrong_definition_is_refused_with_all_its_problems(market: Calling) -> None:
    document = quiz_document(id="wrong", program=PROGRAM, draw=9, time_limit="PT0S")
    refused = problem(await market.operator.post("/v1/admin/quizzes", document), 422, "invalid_document")
    assert fields(refused) == ["time_limit", "draw"]
    shaped = quiz_document(id="wrong", program=PROGRAM, attempts=3)
    refused = problem(await market.operator.post("/v1/admin/quizzes", shaped), 422, "invalid_document")
    assert fields(refused) == ["attempts"]


async def test_an_open_quiz_is_a_task_until_its_attempts_are_used(market: Calling) -> None:
    quiz_id = await defined(market)
    member = await market.joined()

    async def task() -> dict[str, Any]:
        tasks = (await member.get("/v1/tasks", accept_language="fr")).json()["items"]
        found: dict[str, Any] = next(task for task in tasks if task["rule"] == f"quiz:{quiz_id}")
        return found

    first = await task()
    assert (first["title"], first["points"], first["activity"]) == ("Quiz du printemps", 10, "quiz")
    for left in (2, 1, 0):
        shown, quiz = await task(), await listed(member, quiz_id)
        assert (shown["remaining"], shown["resets_at"]) == (quiz["attempts_left"], quiz["resets_at"])
        assert shown["remaining"] == left
        if left:
            attempt = await started(member, quiz_id)
            assert (await answered(member, quiz_id, attempt["attempt_id"], RIGHT)).status_code == 202
    done = await task()
    refused = problem(await member.post(f"/v1/quizzes/{quiz_id}/attempts"), 409, "no_attempts_left")
    assert (done["state"], done["why_not"]["code"]) == ("done", refused["code"])
