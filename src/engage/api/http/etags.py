"""Answers with an ETag: 304 without a body while the caller knows the current one."""

import hashlib
from typing import Any, Final, TypeVar

from litestar import Request

from engage.api.http.answers import JSON, Answer, Headers, encode

T = TypeVar("T")

FOR_ONE_CALLER: Final = ((b"cache-control", b"private, no-cache"),)


def tagged_answer(
    request: Request[Any, Any, Any], value: T, *, headers: Headers = (), cached: Headers = FOR_ONE_CALLER
) -> Answer[T]:
    """Encode a value, or answer 304 to its ETag. `cached` says who may keep the answer, and for how long."""
    body = encode(value)
    tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    sent = [(b"etag", tag.encode()), *cached, *headers, *JSON]
    if _matches(request.headers.getall("if-none-match", []), tag):
        return Answer(b"", sent, 304)
    return Answer(body, sent, 200)


def _matches(if_none_match: list[str], tag: str) -> bool:
    """Compare weakly: proxies mark what they compress with W/."""
    tags = [item.strip().removeprefix("W/") for header in if_none_match for item in header.split(",")]
    return tag in tags or "*" in tags
