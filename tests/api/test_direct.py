"""Requests that are answered before Litestar's router get the answer that they would get behind it."""

import re
from typing import Any

import msgspec
import pytest
from litestar import Router, get

from engage.api.app import app_of
from engage.api.http.application import Application
from engage.api.http.direct import DirectAnswers, answered_directly
from engage.api.http.operation import contract
from tests.api.calling import Caller, Calling

Header = tuple[bytes, bytes]
Headers = list[Header]

TRACE = (b"traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")


async def answer_of(app: Any, method: str, path: str, headers: Headers, body: bytes = b"") -> list[Any]:
    """Call an application as a server does. Headers of one name keep their order."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [TRACE, *headers],
        "client": ("127.0.0.1", "1"),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    await app(scope, receive, send)
    start, *rest = sent
    content = b"".join(message.get("body", b"") for message in rest)
    headers = sorted((name, _without_count(name, value)) for name, value in start["headers"])
    return [start["status"], headers, re.sub(rb"[0-9a-f]{32}", b"<trace>", content)]


def _without_count(name: bytes, value: bytes) -> bytes:
    """Leave the rest of a quota out of a header: it is less with each request."""
    return re.sub(rb"=\d+", b"", value) if name == b"ratelimit" else value


class Spy(DirectAnswers):
    """Counts the requests that are answered directly."""

    answered = 0

    async def send(self, scope: Any, receive: Any, send: Any) -> bool:
        answered = await super().send(scope, receive, send)
        self.answered += answered
        return answered


class Both:
    """An application, and one that answers nothing directly."""

    def __init__(self, api: Calling) -> None:
        self._app, self._plain = app_of(api.api), app_of(api.api)
        self._spy = Spy(self._app.routes)
        self._app._direct, self._plain._direct = self._spy, DirectAnswers([])

    async def answer(self, *request: Any, **more: Any) -> tuple[bool, list[Any]]:
        """Return (answered directly, the answer), which is the same where nothing is answered directly."""
        self._spy.answered = 0
        answer = await answer_of(self._app, *request, **more)
        assert answer == await answer_of(self._plain, *request, **more), request
        return self._spy.answered == 1, answer


@pytest.fixture(scope="module")
def both(api: Calling) -> Both:
    return Both(api)


@pytest.fixture(scope="module")
async def token(api: Calling) -> Header:
    return token_of(await api.joined())


def token_of(member: Caller) -> Header:
    return b"authorization", member._headers["authorization"].encode()


@pytest.mark.parametrize(
    ("method", "path", "extra", "direct", "status"),
    [
        ("GET", "/v1/me", [], True, 200),
        ("GET", "/v1/me", [(b"accept-language", b"de"), (b"host", b"shop.example:8080")], True, 200),
        ("HEAD", "/v1/me", [], True, 200),
        ("GET", "/v1/me", [(b"if-none-match", b"*")], True, 304),
        ("GET", "/v1/me", [(b"content-length", b"0")], True, 200),
        ("GET", "/v1/me", [(b"authorization", b"Bearer another")], True, 401),
        ("GET", "/v1/me", [(b"idempotency-key", b"k")], False, 200),
        ("GET", "/v1/me", [(b"host", b"<script>")], False, 400),
        ("GET", "/v1/me/", [], False, 200),
        ("GET", "//v1/me", [], False, 404),
        ("POST", "/v1/me", [], False, 405),
        ("OPTIONS", "/v1/me", [], False, 204),
        ("GET", "/v1/fuel/taps", [], False, 405),
    ],
)
async def test_a_direct_answer_is_that_of_the_handler(
    both: Both, token: Header, method: str, path: str, extra: Headers, *, direct: bool, status: int
) -> None:
    answered, answer = await both.answer(method, path, [token, *extra])
    assert (answered, answer[0]) == (direct, status)


async def test_a_refused_tap_is_the_same_with_and_without_a_body(api: Calling, both: Both) -> None:
    member = await api.joined()
    token = token_of(member)
    assert (await member.post("/v1/fuel/taps")).status_code == 202
    answered, refused = await both.answer("POST", "/v1/fuel/taps", [token, (b"content-length", b"0")])
    assert (answered, refused[0]) == (True, 409)
    length = (b"content-length", b"2"), (b"content-type", b"application/json")
    answered, with_body = await both.answer("POST", "/v1/fuel/taps", [token, *length], body=b"{}")
    assert (answered, with_body) == (False, refused)
    chunked = [token, (b"transfer-encoding", b"chunked")]
    assert await both.answer("POST", "/v1/fuel/taps", chunked) == (False, refused)
    bad = await both.answer("POST", "/v1/fuel/taps", [token, *length], body=b"{x")
    assert (bad[0], bad[1][0]) == (False, 400), "a body that is no document"


async def test_a_failure_is_a_problem_with_a_trace_id(
    both: Both, token: Header, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr("engage.api.members.mobile.HomeRequest", broken)
    answered, answer = await both.answer("GET", "/v1/me", [token])
    assert (answered, answer[0]) == (True, 500)
    assert b'"code":"internal_error"' in answer[2]


async def _never(*_: Any) -> Any:
    raise AssertionError


@pytest.mark.parametrize("around", [{"guards": [_never]}, {"middleware": [lambda app: app]}])
def test_what_is_around_a_handler_cannot_be_skipped(around: dict[str, Any]) -> None:
    @get("/", opt=contract() | answered_directly(_never))
    async def handler() -> None: ...

    Application([handler])
    with pytest.raises(AssertionError, match="would be skipped"):
        Application([Router("/in", route_handlers=[handler], **around)])


HOLDS = "/v1/shop/checkout/holds"
LENGTH, EMPTY = (b"content-length", b"9"), (b"content-length", b"0")
SOME_ID = "0193a6a0-0000-7000-8000-000000000000"


@pytest.fixture(scope="module")
def key(api: Calling) -> Header:
    return b"authorization", api.shop._headers["authorization"].encode()


@pytest.mark.parametrize(
    ("path", "extra", "body", "direct", "status"),
    [
        (HOLDS, [LENGTH], b'{"a": 1 }', True, 400),
        (HOLDS, [LENGTH], b"not JSON.", True, 400),
        (HOLDS, [LENGTH, (b"content-type", b"text/plain")], b"not JSON.", True, 400),
        (HOLDS, [], b"", True, 400),
        (HOLDS, [(b"content-length", b"70000")], b" " * 70_000, True, 413),
        (HOLDS, [LENGTH, (b"idempotency-key", b"k-1")], b"not JSON.", False, 400),
        (HOLDS, [(b"transfer-encoding", b"chunked")], b"not JSON.", False, 400),
        (HOLDS + "/", [LENGTH], b"not JSON.", False, 400),
        (f"{HOLDS}/{SOME_ID}/capture", [EMPTY], b"", True, 404),
        (f"{HOLDS}/{SOME_ID}/capture", [], b"", True, 404),
        (f"{HOLDS}/{SOME_ID}/capture", [LENGTH], b'{"a": 1 }', False, 400),
        (f"{HOLDS}/{SOME_ID.upper()}/capture", [EMPTY], b"", False, 404),
        (f"{HOLDS}/{SOME_ID}/release", [EMPTY], b"", False, 404),
        (f"{HOLDS}/{SOME_ID}", [EMPTY], b"", False, 404),
        (f"{HOLDS}//capture", [EMPTY], b"", False, 404),
        (f"{HOLDS}/capture", [EMPTY], b"", False, 404),
        (f"{HOLDS}/{SOME_ID}x/capture", [EMPTY], b"", False, 404),
        (f"{HOLDS}/{SOME_ID}/{SOME_ID}/capture", [EMPTY], b"", False, 404),
    ],
)
async def test_a_direct_answer_to_the_shop_is_that_of_the_handler(
    both: Both, key: Header, path: str, extra: Headers, body: bytes, *, direct: bool, status: int
) -> None:
    answered, answer = await both.answer("POST", path, [key, *extra], body=body)
    assert (answered, answer[0]) == (direct, status), answer[2]


@pytest.mark.parametrize("path", [HOLDS, f"{HOLDS}/{SOME_ID}/capture"])
async def test_a_direct_answer_needs_the_key_of_a_shop(both: Both, token: Header, path: str) -> None:
    for headers in ([token], [], [(b"authorization", b"Bearer ek_1_2")]):
        answered, refused = await both.answer("POST", path, [*headers, EMPTY])
        assert (answered, refused[0]) == (True, 401)


async def test_a_refused_hold_is_the_same_with_and_without_the_router(
    api: Calling, both: Both, key: Header
) -> None:
    member = await api.joined()
    order = {
        "member_id": member.member_id,
        "order_id": "o-1",
        "lines": [{"line_id": "1", "product_id": "band", "paid": 1}],
        "payment": {"method": "card"},
        "currency": "EUR",
        "points": 10,
    }
    body = msgspec.json.encode(order)
    answered, refused = await both.answer(
        "POST", HOLDS, [key, (b"content-length", b"%d" % len(body))], body=body
    )
    assert (answered, refused[0]) == (True, 422)
    assert b"not_payable_with_points" in refused[2]
