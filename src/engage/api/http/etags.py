"""Answers with an ETag: 304 without a body while the caller knows the current one."""

import hashlib
from typing import Final, TypeVar

from litestar.types import Scope

from engage.api.http.answers import JSON, Answer, Headers, encode

T = TypeVar("T")

FOR_ONE_CALLER: Final = ((b"cache-control", b"private, no-cache"),)


def tagged_answer(
    scope: Scope, value: T, *, headers: Headers = (), cached: Headers = FOR_ONE_CALLER
) -> Answer[T]:
    """Encode a value, or answer 304 to its ETag. `cached` says who may keep the answer, and for how long."""
    body = encode(value)
    tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'.encode()
    sent = [(b"etag", tag), *cached, *headers, *JSON]
    if _matches([text for name, text in scope["headers"] if name == b"if-none-match"], tag):
        return Answer(b"", sent, 304)
    return Answer(body, sent, 200)


def _matches(if_none_match: list[bytes], tag: bytes) -> bool:
    """Compare weakly: proxies mark what they compress with W/."""
    tags = [item.strip().removeprefix(b"W/") for header in if_none_match for item in header.split(b",")]
    return tag in tags or b"*" in tags
