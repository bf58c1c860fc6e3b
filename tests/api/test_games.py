"""Games over HTTP, as the contract has them."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import count
from typing import Any

import msgspec
import pytest

from engage.domain.games.certificate import verify
from engage.flows.programs.publish import publish
from engage.settings import Settings
from tests.api.calling import Caller, Calling, calling, fields, problem
from tests.support.clock import NOON, StoppedClock, stopped_clock
from tests.support.games import ARCADE, DOCUMENT, game, prize

ADMIN = "/v1/admin/games"
_numbers = count(1)


@pytest.fixture(scope="module")
async def arcade(installed: Settings) -> AsyncIterator[Calling]:
    async with calling(installed, StoppedClock(NOON)) as opened:
        await publish(
            opened.services.db, DOCUMENT, source="arcade", operator="test", clock=opened.services.clock
        )
        await opened.services.programs.refresh(opened.services.db)
        yield opened


async def joined(arcade: Calling) -> Caller:
    known = await arcade.joined(program=ARCADE, country="BF")
    return arcade.member_of(ARCADE, known.member_id)


async def added(arcade: Calling, **changes: Any) -> str:
    """Add a game as an operator; its id."""
    id_ = f"game-{next(_numbers)}"
    answer = await arcade.operator.post(ADMIN, msgspec.to_builtins(game(id_, **changes)))
    assert (answer.status_code, answer.json()["id"]) == (201, id_), answer.text
    return id_


async def test_a_member_plays_and_reads_what_is_left(arcade: Calling) -> None:
    id_, member = await added(arcade), await joined(arcade)
    (listed,) = [g for g in (await member.get("/v1/games")).json()["items"] if g["id"] == id_]
    assert (listed["chances_left"], listed["state"], listed["closes_at"]) == (
        3,
        "open",
        "2026-11-27T00:00:00Z",
    )
    answer = await member.post(f"/v1/games/{id_}/plays")
    assert answer.status_code == 202, answer.text
    played = answer.json()
    assert played["prize"] == {"id": "points", "title": "Prize points"}
    assert (played["credits"][0]["rule"], played["credits"][0]["points"]) == (f"game:{id_}", 10)
    assert (played["chances_left"], played["resets_at"]) == (2, "2026-11-22T00:00:00Z")
    shown = (await member.get(f"/v1/games/{id_}", accept_language="fr")).json()
    assert (shown["title"], shown["chances_left"], shown["commitment"]) == (
        "La roue",
        2,
        listed["commitment"],
    )
    credits = (await member.get("/v1/me/credits")).json()["items"]
    assert "Play 1 won points: 10 points." in credits[0]["why"]["text"]


async def test_without_chances_a_play_is_refused(arcade: Calling) -> None:
    id_ = await added(arcade, chances={"count": 1, "window": "day", "extra_after": "PT15M"})
    member = await joined(arcade)
    await member.post(f"/v1/games/{id_}/plays")
    refused = await member.post(f"/v1/games/{id_}/plays")
    assert problem(refused, 409, "no_chances_left")["resets_at"] == "2026-11-21T12:15:00Z"
    ever = await added(arcade, chances={"count": 1, "window": "ever"})
    assert (await member.post(f"/v1/games/{ever}/plays")).json()["resets_at"] is None
    refused = await member.post(f"/v1/games/{ever}/plays")
    assert problem(refused, 409, "no_chances_left")["resets_at"] is None


async def test_an_unknown_game_is_not_found(arcade: Calling) -> None:
    member = await joined(arcade)
    for answer in (
        await member.get("/v1/games/none"),
        await member.post("/v1/games/none/plays"),
        await member.get("/v1/games/none/certificate"),
    ):
        problem(answer, 404, "not_found")


async def test_a_game_before_its_window_shows_its_commitment_and_cannot_be_played(arcade: Calling) -> None:
    id_, member = await added(arcade, **{"from": "2026-11-23T00:00:00"}), await joined(arcade)
    shown = (await member.get(f"/v1/games/{id_}")).json()
    assert (shown["state"], len(shown["commitment"]), shown["committed_at"]) == (
        "announced",
        64,
        "2026-11-21T12:00:00Z",
    )
    problem(await member.post(f"/v1/games/{id_}/plays"), 404, "not_found")
    assert id_ not in (await member.get("/v1/games")).text


async def test_a_play_under_a_key_is_made_once(arcade: Calling) -> None:
    id_, member = await added(arcade), await joined(arcade)
    first = await member.post(f"/v1/games/{id_}/plays", idempotency_key="k")
    again = await member.post(f"/v1/games/{id_}/plays", idempotency_key="k")
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert (await member.get(f"/v1/games/{id_}")).json()["chances_left"] == 2


async def test_the_certificate_is_there_after_the_end_and_verifies(arcade: Calling) -> None:
    id_, member = await added(arcade, until="2026-11-21T13:00:00"), await joined(arcade)
    played = (await member.post(f"/v1/games/{id_}/plays")).json()
    shown = (await member.get(f"/v1/games/{id_}")).json()
    problem(await member.get(f"/v1/games/{id_}/certificate"), 404, "not_found")
    clock = stopped_clock(arcade.services)
    clock.at = datetime(2026, 11, 21, 13, tzinfo=UTC)
    try:
        answer = await member.get(f"/v1/games/{id_}/certificate")
        assert answer.status_code == 200, answer.text
        found = json.loads(answer.content)
        assert verify(found) == []
        assert (found["commitment"], found["head"]) == (shown["commitment"], played["receipt"])
        (listed,) = found["plays"]
        assert (listed["number"], listed["prize"], listed["player"]) == (1, "points", played["player"])
        assert member.member_id not in answer.text
        problem(await member.post(f"/v1/games/{id_}/plays"), 404, "not_found")
        assert (await member.get(f"/v1/games/{id_}")).json()["state"] == "ended"
    finally:
        clock.at = NOON


async def test_a_coupon_is_a_prize(arcade: Calling) -> None:
    id_, member = await added(arcade, prizes=[prize(points=None, reward="coupon")]), await joined(arcade)
    played = (await member.post(f"/v1/games/{id_}/plays")).json()
    (coupon,) = (await member.get("/v1/me/coupons")).json()["items"]
    assert (coupon["code"], coupon["points"]) == (played["coupon"]["code"], 0)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        (
            {"prizes": [{"id": "a", "title": {"en": "A"}, "odds": "2/1", "stock": 1, "points": 1}]},
            "prizes[0].odds",
        ),
        ({"chances": {"count": 0, "window": "day"}}, "chances.count"),
        ({"prizes": [{"id": "a", "title": {"en": "A"}, "odds": "1/2", "stock": 1}]}, "prizes[0]"),
        ({"until": None}, "until"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_an_unsound_game_is_refused_with_its_problems(
    arcade: Calling, changes: dict[str, Any], field: str
) -> None:
    document = msgspec.to_builtins(game(f"game-{next(_numbers)}")) | changes
    answer = await arcade.operator.post(ADMIN, document)
    assert fields(problem(answer, 422, "invalid_document")) == [field]


async def test_callers_without_a_token_are_refused(arcade: Calling) -> None:
    stranger = arcade.nobody
    for answer in (await stranger.get("/v1/games"), await stranger.post("/v1/games/x/plays")):
        problem(answer, 401, "unauthorized")


async def test_an_erased_member_cannot_play(arcade: Calling) -> None:
    id_, member = await added(arcade), await joined(arcade)
    erased = await arcade.operator.delete(f"/v1/admin/members/{member.member_id}?program={ARCADE}")
    assert erased.status_code in (200, 204), erased.text
    problem(await member.post(f"/v1/games/{id_}/plays"), 401, "unauthorized")
