"""Every error is a problem document without internal details."""

from typing import Any

import httpx
import pytest
import structlog

from tests.api.calling import Calling, problem


async def test_an_unknown_path_is_a_problem(api: Calling) -> None:
    for path in ("/v1/nothing", "/v1", "/v2/me", "/v1/me/credits/x/y", "/%00", "/..%2f"):
        problem(await api.nobody.get(path), 404, "not_found")


async def test_an_unknown_method_is_refused_with_the_allowed_ones(api: Calling) -> None:
    answer = await api.client.delete("/v1/fuel/taps")
    refused = problem(answer, 405, "method_not_allowed")
    assert "POST" in refused["allowed"]
    assert answer.headers["allow"] == ", ".join(refused["allowed"])


async def test_a_problem_is_in_the_language_that_the_caller_asked_for(api: Calling) -> None:
    german = await api.nobody.get("/v1/me", accept_language="sv, de-AT;q=0.8, en;q=0.5")
    assert german.headers["content-language"] == "de"
    english = await api.nobody.get("/v1/me", accept_language="sv")
    assert english.headers["content-language"] == "en"
    assert german.json()["detail"] != english.json()["detail"]
    assert german.json()["code"] == english.json()["code"]


async def test_a_problem_has_the_trace_id_of_the_request(api: Calling) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = await api.nobody.get("/v1/me", traceparent=f"00-{trace}-00f067aa0ba902b7-01")
    assert answer.json()["trace_id"] == trace
    invalid = (
        "00-zz",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{trace}-{'0' * 16}-01",
        f"ff-{trace}-00f067aa0ba902b7-01",
    )
    own = {(await api.nobody.get("/v1/me", traceparent=parent)).json()["trace_id"] for parent in invalid}
    assert len(own) == len(invalid)
    assert own.isdisjoint({trace, "0" * 32})


async def test_a_bug_is_logged_with_its_trace_id_and_its_details_are_not_shown(
    api: Calling, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("the password is swordfish")

    monkeypatch.setattr("engage.api.accounts.mobile.read_credits", broken)
    member = await api.joined()
    with structlog.testing.capture_logs() as logs:
        answer = await member.get("/v1/me/credits")
    shown = problem(answer, 500, "internal_error")
    assert "swordfish" not in answer.text
    assert "RuntimeError" not in answer.text
    (logged,) = [log for log in logs if log["log_level"] == "error"]
    assert logged["trace_id"] == shown["trace_id"]
    assert isinstance(logged["exc_info"], RuntimeError)


async def test_a_bug_in_a_batched_flow_is_a_problem(api: Calling, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("engage.api.activities.mobile.record", broken)
    member = await api.joined()
    problem(await member.post("/v1/fuel/taps"), 500, "internal_error")


async def test_every_answer_has_security_headers(api: Calling) -> None:
    member = await api.joined()
    answers = [await member.get("/v1/me"), await member.get("/v1/none"), await member.post("/v1/fuel/taps")]
    for answer in [*answers, await api.nobody.get("/docs")]:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "set-cookie" not in answer.headers


async def test_nonsense_headers_do_no_harm(api: Calling) -> None:
    member = await api.joined()
    for name, value in (
        ("accept-language", ",,;q=x," + "é" * 300),
        ("host", "a b"),
        ("content-length", "many"),
        ("if-none-match", '"'),
        ("traceparent", "\x7f"),
    ):
        raw = [(name.encode(), value.encode()), (b"authorization", member._headers["authorization"].encode())]
        answer = await api.client.send(httpx.Request("GET", "http://localhost/v1/me", headers=raw))
        assert answer.status_code in (200, 400), (name, answer.text)
    two = [(b"authorization", member._headers["authorization"].encode())] * 2
    problem(
        await api.client.send(httpx.Request("GET", "http://localhost/v1/me", headers=two)),
        401,
        "unauthorized",
    )
