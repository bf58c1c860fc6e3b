"""A repeated request under an Idempotency-Key gets the same answer, and does nothing a second time."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
from msgspec.structs import replace
from sqlalchemy import text

from engage.domain.refusals import Unavailable
from engage.flows.programs.publish import publish
from engage.flows.scheduled.settle import settle_due
from engage.runtime.database import transaction
from engage.settings import Settings
from engage.store import idempotency
from engage.store.idempotency import RequestKey
from tests.api.calling import PROGRAM, Caller, Calling, calling, fields, problem
from tests.support.clock import FIVE_MINUTES, NOON, StoppedClock, advance
from tests.support.programs import rule
from tests.support.withdrawals import OPEN, document
from tests.support.withdrawals import PROGRAM as MARKET

TAPS, SHARES, EVENTS = "/v1/fuel/taps", "/v1/shares", "/v1/shop/events"
LINK = {"kind": "link", "product_id": "band"}

# What a member does and no name of their own covers, in a program that offers all of it.
ACTIONS: Final[list[tuple[str, object]]] = [
    (TAPS, None),
    (SHARES, LINK),
    ("/v1/reviews", {"product_id": "band", "review_id": "r-1"}),
    ("/v1/redemptions", {"reward_id": "one_euro"}),
    ("/v1/withdrawals", {"points": 50, "method": "cash"}),
]
RULES = (
    OPEN
    + """
[[rewards]]
type = "coupon"
id = "one_euro"
title = "1 EUR off"
points = 10
value_minor = 100
"""
    + rule("fuel", 'activity = "fuel_tap"', 'type = "daily_streak"', 2)
    + rule("share", 'activity = "share"', 'type = "per_window", count = 9, window = "month"', 3)
    + rule("review", 'activity = "review"', 'type = "once_per", field = "product_id"', 5)
)


@pytest.fixture(scope="module")
async def market(installed: Settings) -> AsyncIterator[Calling]:
    async with calling(installed, StoppedClock(NOON)) as opened:
        await publish(
            opened.services.db, document(RULES), source="market", operator="test", clock=opened.services.clock
        )
        await opened.services.programs.refresh(opened.services.db)
        yield opened


async def with_points(market: Calling) -> Caller:
    """A member with 100 points."""
    member = market.member_of(MARKET, (await market.joined(program=MARKET, country="BF")).member_id)
    await settle_due(market.services, now=advance(market.services, FIVE_MINUTES))
    return member


async def written(market: Calling, member: Caller) -> tuple[int, int, int]:
    """Return the number of the member's credits, coupons and withdrawals."""
    async with market.services.db.connect() as conn:
        counts = [
            (
                await conn.execute(
                    text(f"SELECT count(*) FROM {table} WHERE member_id = :id"),
                    {"id": member.member_id},
                )
            ).scalar_one()
            for table in ("credits", "coupons", "withdrawals")
        ]
    return counts[0], counts[1], counts[2]


async def test_a_repeated_tap_gets_its_answer_again(api: Calling) -> None:
    member = await api.joined()
    first = await member.post(TAPS, idempotency_key="k-1")
    again = await member.post(TAPS, idempotency_key="k-1")
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.content == first.content
    assert again.headers["content-type"] == first.headers["content-type"]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    problem(await member.post(TAPS), 409, "already_tapped")


async def test_a_repeated_share_takes_one_slot(api: Calling) -> None:
    member = await api.joined()
    for _ in range(5):
        answer = await member.post(SHARES, LINK, idempotency_key="k-1")
        assert answer.json()["limit"]["remaining"] == 2


async def test_a_share_that_was_recorded_before_gets_the_same_answer_under_its_key(api: Calling) -> None:
    """Its limit would be another one by then."""
    member = await api.joined()
    share = {"kind": "link", "product_id": "band"}
    await member.post("/v1/shares", share | {"share_id": "one"})
    first = await member.post("/v1/shares", share | {"share_id": "one"}, idempotency_key="k-1")
    await member.post("/v1/shares", share | {"share_id": "two"})
    again = await member.post("/v1/shares", share | {"share_id": "one"}, idempotency_key="k-1")
    assert first.json()["repeated"] is True
    assert again.content == first.content
    assert again.headers["idempotency-replayed"] == "true"


async def test_a_refused_request_is_decided_anew_under_its_key(api: Calling) -> None:
    stranger = api.member_of(PROGRAM, "joins-later")
    problem(await stranger.post(SHARES, LINK, idempotency_key="k-2"), 401, "unauthorized")
    await api.joined(member_id="joins-later")
    answer = await stranger.post(SHARES, LINK, idempotency_key="k-2")
    assert (answer.status_code, "idempotency-replayed" in answer.headers) == (202, False)
    again = await stranger.post(SHARES, LINK, idempotency_key="k-2")
    assert (again.content, again.headers["idempotency-replayed"]) == (answer.content, "true")


async def test_events_that_were_refused_are_judged_anew_under_their_key(api: Calling) -> None:
    event = api.event("app.signed_in", api.member_of(PROGRAM, "registers-later"))
    sent = (await api.shop.post(EVENTS, [event], idempotency_key="k-20")).json()
    assert [refused["code"] for refused in sent["refused"]] == ["unknown_member"]
    await api.joined(member_id="registers-later")
    for replayed in (False, True):
        answer = await api.shop.post(EVENTS, [event], idempotency_key="k-20")
        assert answer.json() == {"accepted": 1, "repeated": 0, "refused": []}
        assert ("idempotency-replayed" in answer.headers) == replayed


async def test_what_changes_nothing_is_answered_anew_under_its_key(api: Calling) -> None:
    member = await api.joined()
    tickets = [(await member.post("/v1/feed/tickets", idempotency_key="k-21")).json() for _ in range(2)]
    assert tickets[0]["ticket"] != tickets[1]["ticket"]


async def test_what_changes_nothing_may_have_the_key_of_another_request(api: Calling) -> None:
    member = await api.joined()
    assert (await member.post("/v1/fuel/taps", idempotency_key="k-22")).status_code == 202
    assert (await member.post("/v1/feed/tickets", idempotency_key="k-22")).status_code == 201
    assert (await member.post("/v1/fuel/taps", idempotency_key="k-22")).status_code == 202


async def test_an_answer_after_which_clients_retry_is_not_stored(
    api: Calling, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = await api.joined()

    async def unavailable(*_: Any) -> None:
        raise Unavailable("valkey")

    with monkeypatch.context() as patch:
        patch.setattr("engage.api.activities.mobile.record", unavailable)
        for _ in range(2):
            answer = await member.post(SHARES, LINK, idempotency_key="k-3")
            problem(answer, 503, "unavailable")
            assert answer.headers["retry-after"] == "1"
            assert "idempotency-replayed" not in answer.headers
    assert (await member.post(SHARES, LINK, idempotency_key="k-3")).status_code == 202


async def test_a_key_belongs_to_one_request(api: Calling) -> None:
    member = await api.joined()
    await member.post(SHARES, LINK, idempotency_key="k-4")
    other_body = LINK | {"product_id": "scale"}
    problem(await member.post(SHARES, other_body, idempotency_key="k-4"), 422, "idempotency_key_reused")
    problem(await member.post(TAPS, idempotency_key="k-4"), 422, "idempotency_key_reused")


async def test_keys_of_different_callers_are_different_keys(api: Calling) -> None:
    first, second = await api.joined(), await api.joined()
    for member in (first, second):
        answer = await member.post(TAPS, idempotency_key="k-5")
        assert answer.status_code == 202
        assert "idempotency-replayed" not in answer.headers


@pytest.mark.parametrize(("path", "body"), ACTIONS)
async def test_a_request_that_is_under_way_refuses_its_repetition(
    market: Calling, path: str, body: object
) -> None:
    member = await with_points(market)
    key = RequestKey(f"member:{MARKET}:{member.member_id}", "k-6", b"")
    before = await written(market, member)
    async with transaction(market.services.db) as conn:
        assert await idempotency.lock_free(conn, [key]) == [True]
        answer = await member.post(path, body, idempotency_key="k-6")
        problem(answer, 409, "request_in_flight")
        assert answer.headers["retry-after"] == "1"
        assert await written(market, member) == before
    answer = await member.post(path, body, idempotency_key="k-6")
    assert answer.status_code in (201, 202), "its transaction has ended, and nothing was done"
    assert "idempotency-replayed" not in answer.headers


async def test_of_simultaneous_requests_with_a_key_one_is_processed_and_all_get_its_answer(
    api: Calling,
) -> None:
    member = await api.joined()
    answers = await asyncio.gather(*(member.post(SHARES, LINK, idempotency_key="k-7") for _ in range(8)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 7
    assert api.api.under_way == {}
    assert [key for key, _ in await api.credits(member)] == ["registration", "share_link:2026-11:1"]


async def test_a_failed_request_can_be_repeated_under_its_key(
    api: Calling, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = await api.joined()

    async def broken(*_: Any) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr("engage.api.activities.mobile.record", broken)
        problem(await member.post(TAPS, idempotency_key="k-8"), 500, "internal_error")
    assert (await member.post(TAPS, idempotency_key="k-8")).status_code == 202


@pytest.mark.parametrize(("path", "body"), ACTIONS)
async def test_what_is_done_and_the_answer_under_its_key_are_committed_together(
    market: Calling, monkeypatch: pytest.MonkeyPatch, path: str, body: object
) -> None:
    member = await with_points(market)
    before = await written(market, member)

    async def broken(*_: Any) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr("engage.runtime.idempotency.idempotency.keep", broken)
        problem(await member.post(path, body, idempotency_key="k-9"), 500, "internal_error")
    assert await written(market, member) == before
    assert (await member.post(path, body, idempotency_key="k-9")).status_code in (201, 202)
    assert await written(market, member) != before


@pytest.mark.parametrize(("path", "body"), ACTIONS)
async def test_a_lost_answer_is_given_again_under_its_key(
    market: Calling, monkeypatch: pytest.MonkeyPatch, path: str, body: object
) -> None:
    member = await with_points(market)

    def lost(*_: Any, **__: Any) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(market.services.post_commit, "add", lost)
    with pytest.raises(asyncio.CancelledError):
        await member.post(path, body, idempotency_key="k-22")
    monkeypatch.undo()
    done = await written(market, member)
    answer = await member.post(path, body, idempotency_key="k-22")
    assert (answer.status_code, answer.headers["idempotency-replayed"]) in ((201, "true"), (202, "true"))
    assert await written(market, member) == done


async def test_a_lost_answer_to_a_server_is_given_again_under_its_key(
    market: Calling, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = await with_points(market)
    requests: list[tuple[Caller, str, object]] = [
        (market.shop, "/v1/shop/members", {"member_id": "lost", "program": MARKET, "country": "BF"}),
        (
            market.operator,
            f"/v1/admin/members/{member.member_id}/adjustments?program={MARKET}",
            {"points": 5, "reason": "A gift", "reference": "T-1"},
        ),
    ]

    def lost(*_: Any, **__: Any) -> None:
        raise asyncio.CancelledError

    for caller, path, body in requests:
        monkeypatch.setattr(market.services.post_commit, "add", lost)
        with pytest.raises(asyncio.CancelledError):
            await caller.post(path, body, idempotency_key="k-24")
        monkeypatch.undo()
        again = await caller.post(path, body, idempotency_key="k-24")
        assert (again.status_code, again.headers["idempotency-replayed"]) == (201, "true")


async def test_a_key_covers_one_coupon_and_one_payout_of_a_hundred_callers_at_two_apis(
    installed: Settings, market: Calling
) -> None:
    member = await with_points(market)
    async with calling(installed, market.services.clock) as second:
        # More than a member may ask for in a short time.
        for api in (market, second):
            api.services.limits.member = replace(api.services.limits.member, quota=1_000)
        callers = [member, second.member_of(MARKET, member.member_id)]
        for path, body in (ACTIONS[3], ACTIONS[4]):
            key = f"k-23:{path}"
            sent = [callers[n % 2].post(path, body, idempotency_key=key) for n in range(100)]
            answers = await asyncio.gather(*sent)
            done = {answer.content for answer in answers if answer.status_code in (201, 202)}
            assert len(done) == 1
            for answer in answers:
                if answer.content not in done:
                    problem(answer, 409, "request_in_flight")
    assert (await written(market, member))[1:] == (1, 1)


async def test_a_request_of_the_shop_is_processed_once_under_its_key(api: Calling) -> None:
    joining = {"member_id": "once-1", "program": PROGRAM, "country": "ES", "person_ref": "p"}
    first = await api.shop.post("/v1/shop/members", joining, idempotency_key="k-10")
    again = await api.shop.post("/v1/shop/members", joining, idempotency_key="k-10")
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    member = api.member_of(PROGRAM, "once-1")
    event = api.event("app.signed_in", member)
    sent = [await api.shop.post("/v1/shop/events", event, idempotency_key="k-11") for _ in range(2)]
    assert [answer.json() for answer in sent] == [{"accepted": 1, "repeated": 0, "refused": []}] * 2


@pytest.mark.parametrize("key", ["", "x" * 256, "two words", "\x7f"])
async def test_an_invalid_idempotency_key_is_refused(api: Calling, key: str) -> None:
    member = await api.joined()
    refused = problem(await member.post(TAPS, idempotency_key=key), 400, "invalid_request")
    assert fields(refused) == ["Idempotency-Key"]
    assert len(await api.credits(member)) == 1


async def test_an_idempotency_key_bypasses_neither_credentials_nor_body_limit(api: Calling) -> None:
    problem(await api.nobody.post(TAPS, idempotency_key="k-12"), 401, "unauthorized")
    problem(await api.operator.post("/v1/shop/events", [], idempotency_key="k-12"), 403, "forbidden")
    member = await api.joined()
    problem(await member.post(SHARES, b" " * 65_537, idempotency_key="k-13"), 413, "body_too_large")
    stranger = api.member_of(PROGRAM, "nobody")
    problem(await stranger.post(TAPS, idempotency_key="k-14"), 401, "unauthorized")
