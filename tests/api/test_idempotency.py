"""A repeated request under an Idempotency-Key gets the same answer."""

import asyncio
import hashlib
from typing import Any

import pytest

from engage.domain.refusals import Unavailable
from engage.runtime.idempotency import begin_request
from tests.api.calling import PROGRAM, Calling, fields, problem

TAPS, SHARES = "/v1/fuel/taps", "/v1/shares"
LINK = {"kind": "link", "product_id": "band"}


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


async def test_a_refusal_is_repeated_under_its_key(api: Calling) -> None:
    member = await api.joined()
    await member.post(TAPS)
    first = await member.post(TAPS, idempotency_key="k-2", accept_language="fr")
    again = await member.post(TAPS, idempotency_key="k-2", accept_language="fr")
    problem(first, 409, "already_tapped")
    assert again.content == first.content
    assert again.headers["content-language"] == "fr"
    assert again.headers["idempotency-replayed"] == "true"


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


async def test_a_request_in_flight_refuses_its_repetition(api: Calling) -> None:
    member = await api.joined()
    caller = f"member:{PROGRAM}:{member.member_id}"
    fingerprint = hashlib.sha256(f"{TAPS}\n".encode()).digest()
    assert await begin_request(api.services, caller, "k-6", fingerprint=fingerprint) is None
    answer = await member.post(TAPS, idempotency_key="k-6")
    problem(answer, 409, "request_in_flight")
    assert answer.headers["retry-after"] == "1"
    assert len(await api.credits(member)) == 1


async def test_of_simultaneous_requests_with_a_key_one_is_processed(api: Calling) -> None:
    member = await api.joined()
    answers = await asyncio.gather(*(member.post(SHARES, LINK, idempotency_key="k-7") for _ in range(8)))
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert len({answer.content for answer in answers if answer.status_code == 202}) == 1
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


async def test_an_answer_that_cannot_be_stored_is_not_sent(
    api: Calling, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = await api.joined()
    known = LINK | {"share_id": "s"}

    async def broken(*_: Any) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr("engage.runtime.idempotency.idempotency.finish", broken)
        problem(await member.post(SHARES, known, idempotency_key="k-9"), 500, "internal_error")
    again = await member.post(SHARES, known, idempotency_key="k-9")
    assert (again.status_code, again.json()["repeated"]) == (202, True)


async def test_a_request_of_the_shop_is_processed_once_under_its_key(api: Calling) -> None:
    joining = {"member_id": "once-1", "program": PROGRAM, "country": "ES"}
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
