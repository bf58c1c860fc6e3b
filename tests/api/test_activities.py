"""Activities in the app, over HTTP: answers and refusals."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from engage.domain.keys import MemberKey
from engage.runtime.member_cache import MemberCache
from engage.store.members.members import Member
from tests.api.calling import PROGRAM, Calling, fields, problem
from tests.support.clock import NOON, stopped_clock

TAPS, SHARES, REVIEWS = "/v1/fuel/taps", "/v1/shares", "/v1/reviews"
LINK = {"kind": "link", "product_id": "band"}
MIDNIGHT = "2026-11-21T23:00:00Z"  # Of the next day in Madrid.
DECEMBER = "2026-11-30T23:00:00Z"


async def test_a_tap_is_pending_points_and_a_day_of_the_streak(api: Calling) -> None:
    member = await api.joined()
    answer = await member.post(TAPS)
    assert answer.status_code == 202
    assert answer.headers["cache-control"] == "no-store"
    (credit,) = answer.json()["credits"]
    assert (credit["rule"], credit["points"], credit["state"]) == ("fuel", 2, "pending")
    assert credit["due_at"] == "2026-11-21T12:05:00Z"
    assert answer.json()["streak"] == {
        "days": 1,
        "next_tap_at": MIDNIGHT,
        "next_bonus_in": 6,
        "freezes": 0,
        "best": 1,
    }
    assert ("fuel:2026-11-21", "pending") in await api.credits(member), "a 202 is in the database"


async def test_a_second_tap_of_a_day_is_refused_with_the_time_of_the_next(api: Calling) -> None:
    member = await api.joined()
    await member.post(TAPS)
    refused = problem(await member.post(TAPS), 409, "already_tapped")
    assert (refused["next_tap_at"], refused["zone"]) == (MIDNIGHT, "Europe/Madrid")
    assert "22 November 2026 00:00" in refused["detail"]
    assert len(await api.credits(member)) == 2, "registration and one tap"


async def test_a_member_erased_just_after_the_refusal_is_unauthorized(
    api: Calling, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = await api.joined()
    await member.post(TAPS)
    read = MemberCache.find
    reads = 0

    async def find(cache: MemberCache, db: AsyncEngine, keys: Sequence[MemberKey]) -> dict[MemberKey, Member]:
        """Read a member to record the tap, and again for the zone of the refusal: erase them in between."""
        nonlocal reads
        reads += 1
        if reads == 2:
            await api.operator.delete(f"/v1/admin/members/{member.member_id}")
        return await read(cache, db, keys)

    monkeypatch.setattr(MemberCache, "find", find)
    problem(await member.post(TAPS), 401, "unauthorized")


@pytest.mark.parametrize("body", [{}, b"", b"  {} \n"])
async def test_a_tap_may_bring_an_empty_body(api: Calling, body: object) -> None:
    member = await api.joined()
    assert (await member.post(TAPS, body)).status_code == 202


@pytest.mark.parametrize(
    "body", [{"points": 1000}, [], "tap", None, 1, b"{", b"\xff", b"null", b"[" * 50_000]
)
async def test_a_tap_with_anything_else_in_its_body_is_refused_and_nothing_is_written(
    api: Calling, body: object
) -> None:
    member = await api.joined()
    sent = body if body is not None else b"null"
    problem(await member.post(TAPS, sent), 400, "invalid_request")
    assert await api.credits(member) == [("registration", "pending")]


async def test_a_share_answers_with_the_remaining_limit(api: Calling) -> None:
    member = await api.joined()
    answer = await member.post(SHARES, LINK)
    assert answer.status_code == 202
    assert [(c["rule"], c["points"]) for c in answer.json()["credits"]] == [("share_link", 10)]
    assert answer.json()["limit"] == {"rule": "share_link", "remaining": 2, "resets_at": DECEMBER}


async def test_each_kind_of_share_has_its_limit(api: Calling) -> None:
    member = await api.joined()
    for _ in range(3):
        assert (await member.post(SHARES, LINK)).status_code == 202
    social = LINK | {"kind": "social", "network": "mastodon"}
    assert (await member.post(SHARES, social)).json()["limit"]["remaining"] == 2


async def test_a_share_above_the_limit_is_refused_with_the_time_of_the_next(api: Calling) -> None:
    member = await api.joined()
    for _ in range(3):
        await member.post(SHARES, LINK)
    answer = await member.post(SHARES, LINK)
    refused = problem(answer, 409, "limit_reached")
    assert refused["resets_at"] == DECEMBER
    assert "retry-after" not in answer.headers


async def test_a_repeated_share_adds_nothing(api: Calling) -> None:
    member = await api.joined()
    first = (await member.post(SHARES, LINK | {"share_id": "s-1"})).json()
    again = await member.post(SHARES, LINK | {"share_id": "s-1"})
    assert again.status_code == 202
    assert again.json()["credits"] == first["credits"]
    assert (first["repeated"], again.json()["repeated"]) == (False, True)


async def test_a_review_pays_once_for_a_product(api: Calling) -> None:
    member = await api.joined()
    review = {"product_id": "band", "review_id": "r-1"}
    answer = await member.post(REVIEWS, review)
    assert answer.status_code == 202
    assert [(c["rule"], c["points"]) for c in answer.json()["credits"]] == [("review", 20)]
    problem(await member.post(REVIEWS, review | {"review_id": "r-2"}), 409, "already_rewarded")
    assert (await member.post(REVIEWS, {"product_id": "scale", "review_id": "r-3"})).status_code == 202


async def test_an_activity_removed_before_it_was_recorded_earns_nothing(api: Calling) -> None:
    member = await api.joined()
    await api.shop.post("/v1/shop/events", api.event("share.removed", member, share_id="s-9"))
    problem(await member.post(SHARES, LINK | {"share_id": "s-9"}), 409, "activity_removed")


@pytest.mark.parametrize(
    ("path", "body", "where"),
    [
        (SHARES, {"product_id": "band"}, "kind"),
        (SHARES, {"kind": "letter", "product_id": "band"}, "kind"),
        (SHARES, {"kind": "link"}, "product_id"),
        (SHARES, LINK | {"product_id": 7}, "product_id"),
        (SHARES, LINK | {"product_id": ""}, "product_id"),
        (SHARES, LINK | {"product_id": "x" * 129}, "product_id"),
        (SHARES, LINK | {"product_id": "a\nb"}, "product_id"),
        (SHARES, LINK | {"product_id": "a\x00b"}, "product_id"),
        (SHARES, LINK | {"points": 5}, "points"),
        (SHARES, LINK | {"network": ["a"]}, "network"),
        (REVIEWS, {"product_id": "band"}, "review_id"),
        (REVIEWS, {"product_id": "band", "review_id": None}, "review_id"),
        (REVIEWS, [], "$"),
        (REVIEWS, b"", "$"),
        (REVIEWS, b'{"product_id": "band", "review_id": "r"', "$"),
        (REVIEWS, b'{"product_id": "\xff", "review_id": "r"}', "$"),
        (REVIEWS, b'{"product_id": "\\ud800", "review_id": "r"}', "$"),
    ],
)
async def test_an_invalid_body_is_refused_with_the_field(
    api: Calling, path: str, body: object, where: str
) -> None:
    member = await api.joined()
    refused = problem(await member.post(path, body), 400, "invalid_request")
    assert fields(refused) == [where]
    assert all(error["message"] for error in refused["errors"])
    assert await api.credits(member) == [("registration", "pending")]


async def test_an_activity_that_is_not_offered_is_not_found(api: Calling) -> None:
    """In 2021 there was no rule about links."""
    clock = stopped_clock(api.services)
    clock.at = datetime(2021, 6, 1, tzinfo=UTC)
    try:
        member = await api.joined()
        problem(await member.post(SHARES, LINK), 404, "not_offered")
        assert [c["points"] for c in (await member.post(TAPS)).json()["credits"]] == [10]
    finally:
        clock.at = NOON


async def test_seven_days_in_a_row_pay_a_bonus(api: Calling) -> None:
    clock = stopped_clock(api.services)
    member = await api.joined()
    try:
        answers = []
        for _ in range(7):
            answers.append((await member.post(TAPS)).json())
            clock.advance(timedelta(days=1))
    finally:
        clock.at = NOON
    assert [answer["streak"]["days"] for answer in answers] == [1, 2, 3, 4, 5, 6, 7]
    assert sum(credit["points"] for answer in answers for credit in answer["credits"]) == 64


@pytest.mark.parametrize("path", [TAPS, SHARES, REVIEWS, "/v1/feed/tickets"])
async def test_an_activity_needs_a_valid_token(api: Calling, path: str) -> None:
    stranger = api.member_of(PROGRAM, "nobody-joined-as-this")
    foreign = api.member_of("by-mi-bonus", "m-1")
    body = {SHARES: LINK, REVIEWS: {"product_id": "band", "review_id": "r-1"}}.get(path)
    for caller in (api.nobody, stranger, foreign, api.shop):
        answer = await caller.post(path, body)
        problem(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"
