"""Campaigns bring definitions for members by all conditions of an audience, also those that are read."""

from typing import Any

import pytest

from engage.domain.refusals import Code, Refusal
from engage.flows.challenges.read import read_challenges
from engage.flows.draws.enter import EntryRequest, enter
from engage.flows.draws.reads import list_draws
from engage.flows.games.play import play
from engage.flows.games.player import PlayRequest
from engage.flows.games.read import list_games
from engage.flows.leaderboards.read import BoardQuestion, list_boards, read_board
from engage.flows.quizzes.open_quizzes import read_quizzes
from engage.flows.quizzes.start import StartRequest, start
from engage.flows.reads.tasks import read_tasks
from engage.runtime.services import Services
from tests.flows.campaigns.test_definitions import CRITIC, DRAW, WHEEL
from tests.support.campaigns import approve, document
from tests.support.clock import DAY, advance
from tests.support.database import rows
from tests.support.quizzes import quiz_document
from tests.support.segments import define, put
from tests.support.tiers import PROGRAM, paid, react, review, send

BOARD = {"id": "top", "title": {"en": "Top"}, "score": "points_earned"}

# A condition that m-1 meets, once both have done what `differ` does, and m-2 does not.
AUDIENCES: dict[str, dict[str, Any]] = {
    "tiers": {"tiers": ["silver"]},
    "a list": {"segments": ["loyal"]},
    "a computed segment": {"segments": ["computed"]},
    "first order": {"first_order": True},
    "no order for": {"no_order_for": "P10D"},
}


def fair(audience: dict[str, Any], **parts: Any) -> dict[str, Any]:
    return document("fair", audience=audience, **parts)


async def differ(services: Services, audience: dict[str, Any]) -> None:
    """Let m-1 be in an audience, and m-2 outside."""
    await put(services, ["m-1"], "loyal", program=PROGRAM)
    await define(services, {"tiers": ["silver"]}, "computed", program=PROGRAM)
    buys = "m-1" if "tiers" in audience or audience.get("segments") == ["computed"] else "m-2"
    await send(services, paid(services, "o-1", 100_00, member_id=buys))
    advance(services, DAY)


async def offered_tasks(services: Services, member_id: str) -> set[str]:
    found = (await read_tasks(services, PROGRAM, member_id)).tasks
    return {task.rule for task in found if task.state == "open" and ":" in task.rule}


def code_of(answer: object) -> Code | None:
    return answer.code if isinstance(answer, Refusal) else None


@pytest.mark.parametrize("name", AUDIENCES)
async def test_who_is_outside_sees_nothing_of_it_and_takes_no_part(services: Services, name: str) -> None:
    audience = AUDIENCES[name]
    await differ(services, audience)
    parts: dict[str, Any] = {
        "quizzes": [quiz_document()],
        "games": [WHEEL],
        "draws": [DRAW],
        "leaderboards": [BOARD],
        "challenges": [CRITIC],
    }
    await approve(services, fair(audience, **parts))
    all_tasks = {"quiz:spring", "game:wheel", "draw:raffle", "challenge:critic"}
    for member, inside in (("m-1", True), ("m-2", False)):
        refused = None if inside else Code.NOT_FOUND
        (begun,) = await start(services, [StartRequest(PROGRAM, member, "spring", "en")])
        assert code_of(begun) == refused
        (played,) = await play(services, [PlayRequest(PROGRAM, member, "wheel", "en")])
        assert code_of(played) == refused
        (entered,) = await enter(services, [EntryRequest(PROGRAM, member, "raffle")])
        assert code_of(entered) == refused
        shown = [
            *[each.id for each in await read_quizzes(services, PROGRAM, member, language="en")],
            *[each.id for each in await list_games(services, PROGRAM, member, "en")],
            *[each.id for each in await list_draws(services, PROGRAM, member, language="en")],
            *[each.id for each in await list_boards(services, PROGRAM, member, "en")],
            *[each.id for each in await read_challenges(services, PROGRAM, member, language="en")],
        ]
        assert shown == (["spring", "wheel", "raffle", "top", "critic"] if inside else [])
        assert await offered_tasks(services, member) == (all_tasks - {"draw:raffle"} if inside else set())


async def test_a_board_counts_those_for_whom_it_is(services: Services, other: Services) -> None:
    await differ(services, {"tiers": ["silver"]})
    await approve(services, fair({"tiers": ["silver"]}, leaderboards=[BOARD]))
    for process, member in ((services, "m-1"), (other, "m-2")):
        await review(process, "r-1", member)
    await react(services)
    question = BoardQuestion(PROGRAM, "m-1", "top", "en", top=5)
    board = await read_board(services, question)
    assert [(item.rank, item.score) for item in board.items] == [(1, 30)]
    with pytest.raises(Refusal) as refused:
        await read_board(services, BoardQuestion(PROGRAM, "m-2", "top", "en", top=5))
    assert refused.value.code == Code.NOT_FOUND


async def test_a_step_is_for_the_audience_when_it_is_reached(services: Services) -> None:
    """The order that ends the membership of the audience comes after the step, and is read before it."""
    await approve(services, fair({"first_order": True}, challenges=[CRITIC]))
    for member in ("m-1", "m-2"):
        await review(services, "r-1", member)
        await react(services)
    advance(services, DAY)
    await review(services, "r-2", "m-1")
    advance(services, DAY)
    for member in ("m-1", "m-2"):
        await send(services, paid(services, f"o-{member}", 1_00, member_id=member))
    advance(services, DAY)
    await review(services, "r-3", "m-2")
    await react(services)
    assert await rows(
        services.db, "SELECT member_id, rule_id, points, state FROM credits WHERE campaign = 'fair'"
    ) == [("m-1", "challenge:critic", 10, "pending")]
    # Nobody takes back what was paid to somebody who is outside now.
    await review(services, "r-4", "m-1")
    await react(services)
    assert len(await rows(services.db, "SELECT 1 FROM credits WHERE campaign = 'fair'")) == 1
