"""Lists that an app reads page by page, newest first."""

import base64
import binascii
from collections.abc import Callable
from typing import Annotated, Final, TypeVar
from uuid import UUID

from litestar.params import QueryParameter

from engage.api.problems import FieldError, invalid

PAGE = 20
LONGEST_PAGE = 100

# A default that is no value of its own: msgspec would take `state=null` for None, and show everything.
EVERY: Final = ""

Cursor = Annotated[
    str,
    QueryParameter(description="`next_cursor` of the page before; the first page has none.", max_length=64),
]
Limit = Annotated[int, QueryParameter(description="How many at most.", ge=1, le=LONGEST_PAGE)]

T = TypeVar("T")


def id_before(cursor: str) -> UUID | None:
    """The id that a cursor names; None for the first page. Raises Refusal invalid_request."""
    return None if not cursor else UUID(bytes=_place(cursor, 16))


def seq_before(cursor: str) -> int | None:
    """The number that a cursor names; None for the first page. Raises Refusal invalid_request."""
    return None if not cursor else int.from_bytes(_place(cursor, 8), signed=True)


def cut(found: list[T], limit: int, place: Callable[[T], UUID | int]) -> tuple[list[T], str | None]:
    """(a page, the cursor of the next one), of `limit` + 1 that were looked for. The next page comes after
    the `place` of this one's last.
    """
    page = found[:limit]
    return page, _cursor(place(page[-1])) if len(found) > limit else None


def _cursor(place: UUID | int) -> str:
    as_bytes = place.bytes if isinstance(place, UUID) else place.to_bytes(8, signed=True)
    return base64.urlsafe_b64encode(as_bytes).rstrip(b"=").decode()


def _place(cursor: str, length: int) -> bytes:
    """The `length` bytes that a cursor of ours is made of. Raises Refusal invalid_request."""
    try:
        place = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        place = b""
    if len(place) != length:
        raise invalid(FieldError("cursor", "not a cursor of this list"))
    return place
