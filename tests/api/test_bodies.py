"""A body is read in bounded time and space."""

import asyncio
from typing import Any

import pytest

from engage.api.http import bodies
from engage.api.http.bodies import read_body
from engage.domain.refusals import Refusal

SCOPE: Any = {"headers": [], "http_version": "1.1"}


def sending(*chunks: bytes, ends: bool = True) -> Any:
    """Make an ASGI `receive` of these chunks. Without `ends` more is announced and never sent."""
    left = list(chunks)

    async def receive() -> dict[str, Any]:
        if not left:
            await asyncio.Event().wait()
        chunk = left.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(left) or not ends}

    return receive


async def test_a_body_may_arrive_in_any_chunks() -> None:
    assert await read_body(SCOPE, sending(b"{", b"", b"}")) == b"{}"


async def test_a_body_without_a_length_is_read_to_the_limit_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "DISCARD_S", 0.01)
    with pytest.raises(Refusal) as refused:
        await read_body(SCOPE, sending(*[b"1234"] * 100, ends=False), 10)
    assert (refused.value.code, refused.value.status) == ("body_too_large", 413)


async def test_a_body_that_does_not_arrive_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_S", 0.01)
    with pytest.raises(Refusal) as refused:
        await read_body(SCOPE, sending(b"{", ends=False))
    assert (refused.value.code, refused.value.status) == ("request_timeout", 408)
