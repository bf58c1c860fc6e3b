"""Leaderboards and display names over HTTP, as the contract has them."""

from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest

from engage.flows.scheduled.reactions import react_due
from engage.settings import Settings
from tests.api.calling import PROGRAM, Caller, Calling, calling, fields, problem
from tests.support.clock import NOON, StoppedClock

ADMIN = "/v1/admin/leaderboards"
_numbers = count(1)


@pytest.fixture(scope="module")
async def ranking(installed: Settings) -> AsyncIterator[Calling]:
    async with calling(installed, StoppedClock(NOON)) as opened:
        yield opened


async def added(ranking: Calling, **changes: Any) -> str:
    id_ = f"board-{next(_numbers)}"
    document = {"id": id_, "program": PROGRAM, "title": {"en": "Week"}, "score": "points_earned"}
    answer = await ranking.operator.post(ADMIN, document | {"resets": "weekly"} | changes)
    assert answer.status_code == 201, answer.text
    return id_


async def members(ranking: Calling, names: int) -> list[Caller]:
    joined = [await ranking.joined() for _ in range(names)]
    await ranking.services.post_commit.drain()
    await react_due(ranking.services, now=NOON)
    return joined


async def test_a_member_sees_the_first_places_and_those_around(ranking: Calling) -> None:
    id_ = await added(ranking)
    first, second, third = await members(ranking, 3)
    assert (await second.put("/v1/me/display-name", {"name": " Zoë "})).json() == {"name": "Zoë"}
    answer = await third.get(f"/v1/leaderboards/{id_}?around=me&n=1")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert [(item["name"], item["score"], item["me"]) for item in found["items"]] == [
        ("Zoë", 50, False),
        ("—", 50, True),
    ]
    assert found["items"][1]["rank"] == found["members"]
    assert (found["closes_at"], found["closed"]) == ("2026-11-22T23:00:00Z", False)
    top = (await first.get(f"/v1/leaderboards/{id_}?top=1")).json()
    assert [item["rank"] for item in top["items"]] == [1]
    assert id_ in [item["id"] for item in (await first.get("/v1/leaderboards")).json()["items"]]


async def test_a_board_below_its_least_number_of_members_shows_nobody(ranking: Calling) -> None:
    id_ = await added(ranking, min_members=1_000)
    (member,) = await members(ranking, 1)
    assert (await member.get(f"/v1/leaderboards/{id_}?top=10")).json()["items"] == []


async def test_an_unknown_board_is_not_found(ranking: Calling) -> None:
    (member,) = await members(ranking, 1)
    later = await added(ranking, **{"from": "2026-12-01T00:00:00"})
    known = await added(ranking)
    for path in ("none", later, f"{known}?period=2026-11-17"):
        problem(await member.get(f"/v1/leaderboards/{path}"), 404, "not_found")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("top=0", "top"),
        ("top=101", "top"),
        ("around=you", "around"),
        ("around=me&n=51", "n"),
        ("around=me&top=3", "top"),
        ("n=3", "n"),
        ("page=2", "page"),
    ],
)
async def test_a_wrong_query_is_refused(ranking: Calling, query: str, field: str) -> None:
    member = ranking.member_of(PROGRAM, "anyone")
    answer = await member.get(f"/v1/leaderboards/x?{query}")
    assert fields(problem(answer, 400, "invalid_request")) == [field]


async def test_a_display_name_is_chosen_and_erased(ranking: Calling) -> None:
    (member,) = await members(ranking, 1)
    path = "/v1/me/display-name"
    assert (await member.get(path)).json() == {"name": None}
    assert (await member.put(path, {"name": "Ana"})).json() == {"name": "Ana"}
    assert (await member.get(path)).json() == {"name": "Ana"}
    for wrong in ("", "   ", "—", "x" * 31, "A\nB", "A\u202eB"):
        answer = await member.put(path, {"name": wrong})
        assert fields(problem(answer, 400, "invalid_request")) == ["name"], wrong
    assert fields(problem(await member.put(path, {}), 400, "invalid_request")) == ["name"]
    for _ in range(2):
        assert (await member.delete(path)).json() == {"name": None}
    assert (await member.get(path)).json() == {"name": None}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"score": "spend"}, "score"),
        ({"resets": "daily"}, "resets"),
        ({"resets": None, "prizes": [{"to_rank": 1, "points": 5}]}, "prizes"),
        ({"prizes": [{"to_rank": 2, "points": 5}, {"to_rank": 1, "points": 5}]}, "prizes[1].to_rank"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_an_unsound_board_is_refused(ranking: Calling, changes: dict[str, Any], field: str) -> None:
    document = {"id": "x", "program": PROGRAM, "title": {"en": "W"}, "score": "points_earned"}
    answer = await ranking.operator.post(ADMIN, document | {"resets": "weekly"} | changes)
    assert fields(problem(answer, 422, "invalid_document")) == [field]


async def test_strangers_and_erased_members_see_nothing(ranking: Calling) -> None:
    id_ = await added(ranking)
    (member,) = await members(ranking, 1)
    erased = await ranking.operator.delete(f"/v1/admin/members/{member.member_id}?program={PROGRAM}")
    assert erased.status_code == 200, erased.text
    for caller in (member, ranking.nobody):
        problem(await caller.get(f"/v1/leaderboards/{id_}"), 401, "unauthorized")
        problem(await caller.get("/v1/me/display-name"), 401, "unauthorized")
        problem(await caller.put("/v1/me/display-name", {"name": "Ana"}), 401, "unauthorized")
