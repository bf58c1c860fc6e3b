"""Leaderboards follow the ledger: ranks, ties, take-backs, ends, prizes, mergers, erasures, lost servers."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from engage.domain.challenges.definition import Challenge
from engage.domain.challenges.kind import CHALLENGE
from engage.domain.leaderboards.definition import Leaderboard
from engage.domain.leaderboards.kind import LEADERBOARD
from engage.domain.refusals import Refusal
from engage.flows.definitions.change import add_definition
from engage.flows.leaderboards.close import close_due
from engage.flows.leaderboards.load import load_boards
from engage.flows.leaderboards.names import choose_name, drop_name
from engage.flows.leaderboards.read import BoardQuestion, BoardView, list_boards, read_board
from engage.flows.members.erase import erase_member
from engage.flows.members.merge import merge_members
from engage.flows.operations.rebuild import rebuild
from engage.flows.scheduled.reactions import react_due
from engage.flows.shop.take_events import take_events
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.activities import (
    PROGRAM,
    join,
    perform,
    review,
    review_removed,
    services_with_activities,
    share_removed,
    social,
    tap,
)
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import DAY, NOON, advance, stopped_clock
from tests.support.database import rows

MADRID_MONDAY = datetime(2026, 11, 22, 23, tzinfo=UTC)
LAST_MONDAY = datetime(2026, 11, 23, 8, tzinfo=UTC)  # In Los Angeles, where the program has members too.


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with services_with_activities(settings) as opened:
        await opened.gate.install()
        await opened.gate.forget_all()
        yield opened
        await assert_audit_is_clean(opened)


async def add_board(services: Services, **changes: Any) -> None:
    values = {
        "id": "week",
        "program": PROGRAM,
        "title": {"en": "Week", "fr": "Semaine"},
        "score": "points_earned",
        "resets": "weekly",
    }
    board = msgspec.convert(values | changes, Leaderboard)
    await add_definition(services, LEADERBOARD, board, operator="test")


async def react(services: Services) -> None:
    await services.post_commit.drain()
    await react_due(services, now=services.clock.now())


async def board(services: Services, member_id: str = "m-1", **asked: Any) -> BoardView:
    question = {"top": 10} if "around" not in asked else {}
    return await read_board(services, BoardQuestion(PROGRAM, member_id, "week", "en", **(question | asked)))


async def standing(services: Services, **asked: Any) -> list[tuple[int, int, bool]]:
    return [(item.rank, item.score, item.me) for item in (await board(services, **asked)).items]


async def agrees(services: Services) -> None:
    """Valkey and the database give the same board."""
    await load_boards(services, now=services.clock.now())
    fast = await board(services)
    await services.gate.forget_all()
    assert await board(services) == fast


async def test_scores_are_points_earned_and_ties_go_to_the_first(services: Services) -> None:
    await add_board(services)
    for name in ("m-1", "m-2", "m-3"):
        await join(services, name)
        advance(services, timedelta(minutes=1))
    await react(services)
    assert await standing(services) == [(1, 50, True), (2, 50, False), (3, 50, False)]
    await perform(services, tap(), "m-3")
    await react(services)
    assert await standing(services, member_id="m-3") == [(1, 52, True), (2, 50, False), (3, 50, False)]
    assert (await board(services)).members == 3
    await agrees(services)


async def test_a_tie_goes_to_the_first_whatever_order_steps_of_challenges_are_paid_in(
    services: Services,
) -> None:
    challenge = {
        "id": "sharing",
        "program": PROGRAM,
        "title": {"en": "Share"},
        "goal": {"kind": "count", "activity": "share"},
        "steps": [{"at": 1, "points": 5}],
    }
    await add_definition(services, CHALLENGE, msgspec.convert(challenge, Challenge), operator="test")
    await add_board(services)
    for name in ("m-2", "m-1"):
        await join(services, name)
        await perform(services, social(), name)
        advance(services, timedelta(minutes=1))
    await react(services)  # Pays the steps of both at once.
    found = await standing(services, member_id="m-2")
    assert [(rank, me) for rank, _, me in found] == [(1, True), (2, False)]
    await agrees(services)


async def test_a_board_counts_from_when_it_is_added(services: Services) -> None:
    await join(services)
    advance(services, timedelta(minutes=1))
    await add_board(services)
    await perform(services, tap())
    await react(services)
    assert await standing(services) == [(1, 2, True)]
    await rebuild(services)
    assert await standing(services) == [(1, 2, True)]


async def test_points_that_are_taken_back_lower_a_score(services: Services) -> None:
    await add_board(services)
    await join(services)
    await join(services, "m-2")
    await perform(services, review(), "m-2")
    await react(services)
    assert await standing(services, member_id="m-2") == [(1, 70, True), (2, 50, False)]
    await take_events(services, [review_removed(services, "r-1", "m-2")])
    await react(services)
    assert await standing(services) == [(1, 50, True), (2, 50, False)]
    await agrees(services)


async def test_what_a_quiz_or_another_rule_paid_alone_counts_on_its_board(services: Services) -> None:
    await add_board(services, score="quiz:spring")
    await join(services)
    await react(services)
    assert await standing(services) == []
    async with services.db.begin() as conn:
        await conn.exec_driver_sql("UPDATE credits SET rule_id = 'quiz:spring'")
    await perform(services, tap())
    await react(services)
    assert await standing(services) == [(1, 50, True)]
    async with services.db.begin() as conn:
        await conn.exec_driver_sql("UPDATE credits SET rule_id = 'registration' WHERE rule_id <> 'fuel'")


async def test_progress_in_a_challenge_is_a_score(services: Services) -> None:
    challenge = {
        "id": "sharing",
        "program": PROGRAM,
        "title": {"en": "Share"},
        "goal": {"kind": "count", "activity": "share"},
        "steps": [{"at": 5, "points": 5}],
    }
    await add_definition(services, CHALLENGE, msgspec.convert(challenge, Challenge), operator="test")
    await add_board(services, score="challenge:sharing", resets=None)
    for name in ("m-1", "m-2"):
        await join(services, name)
        await perform(services, social(), name)
        advance(services, timedelta(minutes=1))
    await perform(services, social("s-2"), "m-2")
    await react(services)
    assert await standing(services, member_id="m-2") == [(1, 2, True), (2, 1, False)]
    await take_events(services, [share_removed(services, "s-2", "m-2")])
    await react(services)
    assert await standing(services) == [(1, 1, True), (2, 1, False)], "who shared first"
    await agrees(services)


async def test_the_places_around_a_member(services: Services) -> None:
    await add_board(services)
    for n in range(7):
        await join(services, f"m-{n}")
        advance(services, timedelta(seconds=1))
    await react(services)
    await load_boards(services, now=services.clock.now())
    for _ in range(2):
        found = [rank for rank, _, _ in await standing(services, member_id="m-3", around=1, top=None)]
        assert found == [3, 4, 5]
        await services.gate.forget_all()  # Then the database answers.
    first = await standing(services, member_id="m-0", around=2, top=None)
    assert [(rank, me) for rank, _, me in first] == [(1, True), (2, False), (3, False)]


async def test_names_are_shown_of_those_who_chose_one(services: Services) -> None:
    await add_board(services)
    await join(services)
    await join(services, "m-2")
    await react(services)
    chosen = await choose_name(services, PROGRAM, "m-2", " Zoë ")
    assert chosen is not None
    assert chosen.name == "Zoë"
    assert await choose_name(services, PROGRAM, "m-1", "\u202e") is None
    assert [item.name for item in (await board(services)).items] == ["—", "Zoë"]
    await drop_name(services, PROGRAM, "m-2")
    assert [item.name for item in (await board(services)).items] == ["—", "—"]


async def test_a_board_with_too_few_members_shows_nobody_and_pays_nothing(services: Services) -> None:
    await add_board(services, min_members=3, prizes=[{"to_rank": 1, "points": 500}])
    await join(services)
    await join(services, "m-2")
    await react(services)
    found = await board(services)
    assert (found.items, found.members) == ([], 2)
    await advance_clock_to(services, LAST_MONDAY)
    assert await prizes(services) == []


async def prizes(services: Services) -> list[tuple[object, ...]]:
    return await rows(
        services.db,
        "SELECT member_id, source_key, points FROM credits"
        " WHERE rule_id = 'leaderboard:week' AND points > 0 ORDER BY source_key",
    )


async def advance_clock_to(services: Services, at: datetime) -> None:
    """Advance as the sandbox does: everything on the way at its time."""
    stopped_clock(services).at = at
    await react(services)
    await close_due(services, now=at)


async def test_a_closed_period_is_kept_and_pays_each_rank_once(services: Services) -> None:
    await add_board(services, prizes=[{"to_rank": 1, "points": 500}, {"to_rank": 3, "points": 100}])
    for name in ("m-1", "m-2", "m-3", "m-4"):
        await join(services, name)
        advance(services, timedelta(minutes=1))
    await react(services)
    # Another process pays at the same time.
    stopped_clock(services).at = LAST_MONDAY
    await asyncio.gather(*(close_due(services, now=LAST_MONDAY) for _ in range(4)))
    expected = [
        ("m-1", "leaderboard:week:2026-11-16:1", 500),
        ("m-2", "leaderboard:week:2026-11-16:2", 100),
        ("m-3", "leaderboard:week:2026-11-16:3", 100),
    ]
    assert await prizes(services) == expected
    await perform(services, tap(), "m-4")
    await react(services)
    assert await standing(services, member_id="m-4") == [(1, 2, True)], (
        "prizes are no points of the next week"
    )
    closed = await board(services, period="2026-11-16")
    assert (closed.closed, [item.score for item in closed.items]) == (True, [50] * 4)
    assert await close_due(services, now=LAST_MONDAY) == 0
    assert await prizes(services) == expected
    await erase_member(services, PROGRAM, "m-1", operator="test")
    kept = await board(services, member_id="m-2", period="2026-11-16")
    assert [item.score for item in kept.items] == [50] * 4


async def test_a_period_waits_for_what_happened_before_its_end(services: Services) -> None:
    await add_board(services, prizes=[{"to_rank": 1, "points": 500}])
    await join(services)
    await react(services)
    stopped_clock(services).at = MADRID_MONDAY - timedelta(minutes=1)
    await join(services, "m-2")
    await perform(services, tap(), "m-2")
    stopped_clock(services).at = LAST_MONDAY
    assert await close_due(services, now=LAST_MONDAY) == 0, "not all is counted"
    await advance_clock_to(services, LAST_MONDAY)
    assert [member_id for member_id, _, _ in await prizes(services)] == ["m-2"]


async def test_the_sandboxs_clock_closes_and_pays_on_the_way(settings: Settings) -> None:
    async with services_with_activities(settings) as services:
        await add_board(services, prizes=[{"to_rank": 1, "points": 500}])
        await join(services)
        stopped_clock(services).at = NOON + 3 * DAY
        await advance_through(services)
        assert [points for _, _, points in await prizes(services)] == [500]
        at = await rows(services.db, "SELECT activity_at, due_at FROM credits WHERE rule_id LIKE 'leader%%'")
        assert at == [(LAST_MONDAY, LAST_MONDAY + timedelta(minutes=5))]


async def advance_through(services: Services) -> None:
    now = services.clock.now()
    await react_due(services, now=now)
    await close_due(services, now=now, on_time=True)


async def test_merged_members_have_one_place_with_both_scores(services: Services) -> None:
    await add_board(services)
    for name in ("m-1", "m-2", "m-3"):
        await join(services, name)
        advance(services, timedelta(minutes=1))
    await perform(services, social(), "m-2")
    await choose_name(services, PROGRAM, "m-2", "Two")
    await react(services)
    await load_boards(services, now=services.clock.now())
    await merge_members(services, PROGRAM, "m-2", into="m-3", reason="", operator="test")
    await react(services)
    found = await board(services, member_id="m-3")
    assert found.members == 2
    assert (found.items[0].me, found.items[0].name) == (True, "Two")
    await agrees(services)


async def test_an_erased_member_leaves_the_board_with_the_name(services: Services) -> None:
    await add_board(services)
    await join(services)
    await join(services, "m-2")
    await choose_name(services, PROGRAM, "m-2", "Two")
    await react(services)
    await load_boards(services, now=services.clock.now())
    await erase_member(services, PROGRAM, "m-2", operator="test")
    await react(services)
    assert await standing(services) == [(1, 50, True)]
    assert await rows(services.db, "SELECT * FROM display_names") == []
    await agrees(services)


async def test_a_rebuild_gives_the_same_board(services: Services) -> None:
    await add_board(services)
    for name in ("m-1", "m-2"):
        await join(services, name)
    await react(services)
    before = await board(services)
    await rebuild(services)
    assert await services.gate.boards.state((PROGRAM, "week", "2026-11-16")) == "complete"
    assert await board(services) == before
    async with services.db.begin() as conn:
        await conn.exec_driver_sql("DELETE FROM board_scores")
    await rebuild(services)
    assert await board(services) == before, "scores are a fold over credits"


async def test_boards_are_listed_while_they_are_open(services: Services) -> None:
    await add_board(services)
    await add_board(services, id="later", **{"from": "2026-12-01T00:00:00"})
    await join(services)
    found = await list_boards(services, PROGRAM, "m-1", "fr")
    assert [(b.id, b.title, b.period, b.closes_at) for b in found] == [
        ("week", "Semaine", "2026-11-16", MADRID_MONDAY)
    ]
    for board_id, period in (("later", None), ("none", None), ("week", "2026-11-30"), ("week", "x")):
        question = BoardQuestion(PROGRAM, "m-1", board_id, "en", top=3, period=period)
        with pytest.raises(Refusal, match="not_found"):
            await read_board(services, question)
