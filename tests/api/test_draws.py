"""Prize draws, over HTTP, for members and operators."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from engage.domain.draws.certificate import faults
from engage.domain.draws.reading import read_certificate
from engage.flows.programs.publish import publish
from engage.settings import Settings
from tests.api.calling import Caller, Calling, calling, problem
from tests.support.clock import NOON, StoppedClock, stopped_clock
from tests.support.draws import CLOSES_AT, PROGRAM, ROUND_AT, advance_to, document

POST = {"text": "#rewardmi @a @b @c", "visibility": "public", "url": "https://x.example/1"}
NEW = {
    "id": "spring",
    "program": PROGRAM,
    "title": {"en": "Spring", "fr": "Printemps"},
    "opens_at": "2026-11-21T11:00:00Z",
    "closes_at": "2026-11-21T13:00:00Z",
    "winners": 1,
    "points": 50,
}


@pytest.fixture
async def lottery(own_installed: Settings, valkey: Redis) -> AsyncIterator[Calling]:
    async with calling(own_installed, StoppedClock(NOON)) as opened:
        await publish(
            opened.services.db, document(), source="test", operator="test", clock=opened.services.clock
        )
        await opened.services.programs.refresh(opened.services.db)
        yield opened


async def join(lottery: Calling, member_id: str = "m-1") -> Caller:
    body = {"member_id": member_id, "program": PROGRAM, "country": "ES"}
    assert (await lottery.shop.post("/v1/shop/members", body)).status_code == 201
    return lottery.member_of(PROGRAM, member_id)


async def enter(member: Caller, draw_id: str = "plain", body: object = None, **headers: str) -> Any:
    return await member.post(f"/v1/draws/{draw_id}/entries", body, **headers)


async def test_a_draw_from_its_entries_to_its_certificate(lottery: Calling) -> None:
    members = [await join(lottery, f"m-{n}") for n in range(1, 5)]
    for number, member in enumerate(members, start=1):
        entered = await enter(member)
        assert entered.status_code == 202, entered.text
        assert (entered.json()["number"], entered.json()["member_id"]) == (number, f"m-{number}")
        assert set(entered.json()) == {"entry_id", "number", "member_id", "salt", "hash"}
    first = members[0]
    shown = (await first.get("/v1/draws/plain")).json()
    assert (shown["state"], shown["entries"], shown["my_number"]) == ("open", 4, 1)
    problem(await first.get("/v1/draws/plain/certificate"), 404, "not_found")
    await advance_to(lottery.services, CLOSES_AT)
    shown = (await first.get("/v1/draws/plain")).json()
    assert (shown["state"], shown["published_at"]) == ("frozen", "2026-11-21T13:00:00Z")
    frozen = (await first.get("/v1/draws/plain/certificate")).json()
    assert (frozen["root"], frozen["round"]["number"]) == (shown["root"], shown["round"])
    assert (frozen["winners"], frozen["round"]["signature"]) == (None, None)
    await advance_to(lottery.services, ROUND_AT)
    shown = (await first.get("/v1/draws/plain")).json()
    answer = await members[3].get("/v1/draws/plain/certificate")
    certificate = answer.json()
    assert shown["state"] == "drawn"
    assert certificate["winners"] == shown["winners"]
    assert faults(read_certificate(answer.content)) == []
    for name in ("draw_id", "algorithm", "entries", "root", "published_at", "round", "beacon", "winners"):
        assert name in certificate
    assert certificate["beacon"] == "sandbox"
    assert set(certificate["entries"][0]) == {"number", "hash"}
    winner = members[shown["winners"][0] - 1]
    (credit, *_) = (await winner.get("/v1/me/credits")).json()["items"]
    assert (credit["rule"], credit["points"], credit["state"]) == ("draw:plain", 500, "pending")
    assert credit["source_key"] == f"draw:plain:{shown['winners'][0]}"


async def test_open_draws_are_listed_in_the_callers_language(lottery: Calling) -> None:
    member = await join(lottery)
    answer = await member.get("/v1/draws", accept_language="fr")
    assert answer.status_code == 200
    assert answer.json()["next_cursor"] is None
    assert [(draw["id"], draw["title"]) for draw in answer.json()["items"]] == [
        ("plain", "Un simple tirage"),
        ("rewardmi", "#rewardmi"),
    ]
    assert answer.json()["items"][1]["conditions"] == {"hashtag": "#RewardMi", "mentions": 3, "public": True}
    assert (await member.get("/v1/draws/plain")).json()["title"] == "A plain draw"


async def test_every_refusal_of_an_entry(lottery: Calling) -> None:
    member = await join(lottery)
    problem(await enter(member, "unknown"), 404, "not_found")
    problem(await enter(member, "later"), 404, "not_found")
    problem(await enter(member, "%00"), 404, "not_found")
    lacking = problem(
        await enter(member, "rewardmi", {"post": POST | {"text": "#rewardmi"}}), 422, "entry_rejected"
    )
    assert lacking["failed"] == ["mentions"]
    lacking = problem(await enter(member, "rewardmi"), 422, "entry_rejected")
    assert lacking["failed"] == ["hashtag", "mentions", "visibility"]
    assert (await enter(member, "rewardmi", {"post": POST})).status_code == 202
    again = problem(await enter(member, "rewardmi", {"post": POST}), 409, "already_entered")
    assert again["number"] == 1
    stopped_clock(lottery.services).at = CLOSES_AT
    closed = problem(await enter(member), 410, "draw_closed")
    assert closed["closes_at"] == "2026-11-21T13:00:00Z"
    problem(await enter(lottery.nobody), 401, "unauthorized")
    problem(await member.get("/v1/draws/unknown"), 404, "not_found")
    problem(await member.get("/v1/draws/unknown/certificate"), 404, "not_found")


BAD_BODIES: list[tuple[object, str]] = [
    ({"post": POST | {"visibility": "everyone"}}, "post.visibility"),
    ({"post": {"visibility": "public"}}, "post.text"),
    ({"post": POST | {"text": "x" * 5_001}}, "post.text"),
    ({"post": POST | {"url": "x" * 2_001}}, "post.url"),
    ({"post": POST | {"likes": 3}}, "post.likes"),
    ({"comment": "hello"}, "comment"),
    ([], "$"),
    (b"{", "$"),
]


async def test_a_bad_body_is_refused_with_its_field(lottery: Calling) -> None:
    member = await join(lottery)
    for body, field in BAD_BODIES:
        refused = problem(await enter(member, "rewardmi", body), 400, "invalid_request")
        assert [error["field"] for error in refused["errors"]] == [field], body


async def test_an_entry_under_a_key_is_made_once_and_answered_again(lottery: Calling) -> None:
    member = await join(lottery)
    answers = [await enter(member, idempotency_key="k-1") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json() == answers[1].json()
    problem(await enter(member, idempotency_key="k-2"), 409, "already_entered")
    problem(await enter(member, "rewardmi", idempotency_key="k-1"), 422, "idempotency_key_reused")


async def test_operators_add_and_change_draws(lottery: Calling) -> None:
    member = await join(lottery)
    added = await lottery.operator.post("/v1/admin/draws", NEW)
    assert (added.status_code, added.json()) == (201, {"id": "spring", "version": 1})
    assert (await member.get("/v1/draws/spring")).json()["points"] == 50
    problem(await lottery.operator.post("/v1/admin/draws", NEW), 409, "exists")
    assert (await enter(member, "spring")).status_code == 202
    await advance_to(lottery.services, ROUND_AT)
    shown = (await member.get("/v1/draws/spring")).json()
    assert (shown["state"], shown["winners"]) == ("drawn", [1])
    certificate = await member.get("/v1/draws/spring/certificate")
    assert (certificate.json()["version"], faults(read_certificate(certificate.content))) == ("#1", [])


async def test_operators_see_the_entries_with_their_posts_and_the_winners(lottery: Calling) -> None:
    members = [await join(lottery, f"m-{n}") for n in range(1, 4)]
    for member in members:
        assert (await enter(member, "rewardmi", {"post": POST})).status_code == 202
    path = "/v1/admin/draws/rewardmi/entries"
    first = (await lottery.operator.get(f"{path}?program={PROGRAM}&limit=2")).json()
    assert [(entry["number"], entry["member_id"]) for entry in first["items"]] == [(3, "m-3"), (2, "m-2")]
    assert first["items"][0]["post"] == POST
    rest = (await lottery.operator.get(f"{path}?program={PROGRAM}&cursor={first['next_cursor']}")).json()
    assert ([entry["number"] for entry in rest["items"]], rest["next_cursor"]) == ([1], None)
    await advance_to(lottery.services, ROUND_AT)
    (winner,) = (await lottery.operator.get(f"{path}?program={PROGRAM}&winners=true")).json()["items"]
    assert (winner["place"], winner["paid_at"]) == (1, "2026-11-21T13:01:03Z")
    problem(await lottery.operator.get("/v1/admin/draws/unknown/entries"), 404, "not_found")
    problem(await lottery.shop.get(path), 403, "forbidden")


BAD_DEFINITIONS: list[tuple[dict[str, Any], str]] = [
    ({"winners": 0}, "winners"),
    ({"winners": 10_001}, "winners"),
    ({"points": 0}, "points"),
    ({"closes_at": "2026-11-21T11:00:00Z"}, "closes_at"),
    ({"opens_at": "soon"}, "opens_at"),
    ({"round_after": "PT1S"}, "round_after"),
    ({"round_after": "P31D"}, "round_after"),
    ({"round_after": "PT10.5S"}, "round_after"),
    ({"one_entry_per": "day"}, "one_entry_per"),
    ({"due": {"type": "on_delivery"}}, "due.type"),
    ({"due": {"type": "after", "delay": "P900D"}}, "due.delay"),
    ({"conditions": {}}, "conditions"),
    ({"conditions": {"hashtag": "rewardmi"}}, "conditions.hashtag"),
    ({"conditions": {"hashtag": "#a b"}}, "conditions.hashtag"),
    ({"conditions": {"mentions": 0}}, "conditions.mentions"),
    ({"title": {}}, "title"),
    ({"id": "no/slash"}, "id"),
    ({"prize": "a phone"}, "prize"),
]


async def test_a_bad_definition_is_refused_with_its_field(lottery: Calling) -> None:
    for other, field in BAD_DEFINITIONS:
        refused = problem(
            await lottery.operator.post("/v1/admin/draws", NEW | other), 422, "invalid_document"
        )
        assert [error["field"] for error in refused["errors"]] == [field], other


async def test_a_definition_lists_all_its_mistakes(lottery: Calling) -> None:
    wrong = NEW | {"round_after": "PT1S", "closes_at": "2026-11-21T10:00:00Z", "conditions": {}}
    refused = problem(await lottery.operator.post("/v1/admin/draws", wrong), 422, "invalid_document")
    assert {error["field"] for error in refused["errors"]} == {"closes_at", "round_after", "conditions"}


async def test_an_open_draw_is_a_task_until_it_is_entered(lottery: Calling) -> None:
    member = await join(lottery)

    async def state() -> tuple[str, str | None]:
        tasks = (await member.get("/v1/tasks")).json()["items"]
        task = next(task for task in tasks if task["rule"] == "draw:plain")
        return task["state"], (task["why_not"] or {}).get("code")

    assert await state() == ("open", None)
    assert (await enter(member)).status_code == 202
    assert await state() == ("done", "already_entered")
