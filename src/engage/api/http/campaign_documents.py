"""Documents of campaigns in bodies, and their ETags."""

import re
from collections.abc import Sequence
from typing import Any, Final, TypeVar

import msgspec
from litestar import Request

from engage.api.http import bodies
from engage.api.http.problems import invalid
from engage.decoding.json_text import decode_json
from engage.decoding.malformed import Malformed
from engage.domain.campaigns.definition import Campaign
from engage.domain.document.decoding import JSON
from engage.domain.document.errors import Problem
from engage.domain.refusals import Code, Refusal
from engage.flows.campaigns.check import check_rest
from engage.runtime.services import Services
from engage.store.api_keys import ApiKey

# With its quizzes and examples a document is longer than other bodies.
DOCUMENT_BYTES: Final = 1024 * 1024

T = TypeVar("T")

_TAG: Final = re.compile(r'"([1-9][0-9]{0,8})\.([1-9][0-9]{0,8})"', re.ASCII)
_NO_VERSION: Final = (0, 0)


async def read_document(services: Services, key: ApiKey, request: Request[Any, Any, Any]) -> Campaign:
    """Raises as `engage.api.http.bodies.read_document`; other_program; Unavailable."""

    async def all_problems(value: object, mismatches: Sequence[Problem]) -> list[Problem]:
        if isinstance(value, dict) and isinstance(value.get("program"), str):
            key.check(value["program"])
        return await check_rest(services, value, mismatches, notation=JSON)

    campaign = await bodies.read_document(request, Campaign, DOCUMENT_BYTES, all_problems)
    key.check(campaign.program)
    return campaign


def decode_trial(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode a body with documents in its fields `document` or `documents`.

    Raises Refusal invalid_document where mistakes are in a document, invalid_request for others.
    """
    try:
        return decode_json(body, decoder)
    except Malformed:
        found = bodies.mistakes(body, decoder.type)
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
