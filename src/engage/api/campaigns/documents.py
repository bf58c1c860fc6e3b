"""Documents of campaigns in bodies, and their ETags."""

import re
from typing import Any, Final, TypeVar

import msgspec
from litestar import Request

from engage.api.http.bodies import mistakes, not_json, read_body
from engage.api.http.problems import invalid, invalid_document
from engage.decoding.json_text import decode_json
from engage.decoding.malformed import Malformed
from engage.domain.campaigns.definition import Campaign
from engage.domain.document import decoding
from engage.domain.refusals import Code, Refusal

# With its quizzes and examples a document is longer than other bodies.
DOCUMENT_BYTES: Final = 1024 * 1024

PROBLEMS_SHOWN: Final = 100

T = TypeVar("T")

_anything = msgspec.json.Decoder()
_TAG: Final = re.compile(r'"([1-9][0-9]{0,8})\.([1-9][0-9]{0,8})"', re.ASCII)
_NO_VERSION: Final = (0, 0)


async def read_document(request: Request[Any, Any, Any]) -> Campaign:
    """Raises Refusal invalid_request for what is no JSON, or else invalid_document."""
    body = await read_body(request.scope, request.receive, DOCUMENT_BYTES)
    try:
        value = decode_json(body, _anything)
    except Malformed as error:
        raise invalid(not_json(error)) from None
    problems = decoding.mismatches(value, Campaign, notation=decoding.JSON, most=PROBLEMS_SHOWN)
    if problems:
        raise invalid_document(problems)
    return msgspec.convert(value, Campaign)


def decode_trial(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode a body with documents in its fields `document` or `documents`.

    Raises Refusal invalid_document where mistakes are in a document, invalid_request for others.
    """
    try:
        return decode_json(body, decoder)
    except Malformed:
        found = mistakes(body, decoder.type)
    if any(mistake.field.startswith("document") for mistake in found):
        raise Refusal(Code.INVALID_DOCUMENT, errors=found)
    raise invalid(*found)


def etag(version: int, revision: int) -> tuple[bytes, bytes]:
    """The ETag of a version, which each of its changes changes."""
    return b"etag", f'"{version}.{revision}"'.encode()


def if_match(request: Request[Any, Any, Any], *, required: bool) -> tuple[int, int] | None:
    """The (version, revision) of an ETag of ours; (0, 0) for any other; None without one.

    Raises Refusal if_match_required.
    """
    tags = request.headers.getall("if-match", [])
    if not tags:
        if required:
            raise Refusal(Code.IF_MATCH_REQUIRED)
        return None
    found = _TAG.fullmatch(tags[0].strip()) if len(tags) == 1 else None
    return _NO_VERSION if found is None else (int(found[1]), int(found[2]))
