"""Lists that clients read page by page: newest first, or by name."""

import base64
import binascii
from collections.abc import Callable
from typing import Annotated, TypeVar
from uuid import UUID

from litestar.params import QueryParameter

from engage.api.http.problems import FieldError, invalid
from engage.domain.refusals import Refusal

PAGE = 20
LONGEST_PAGE = 100

Cursor = Annotated[
    str,
    QueryParameter(
        description="`next_cursor` of the previous page; leave it out for the first page.", max_length=128
    ),
]
Limit = Annotated[int, QueryParameter(description="The most items of a page.", ge=1, le=LONGEST_PAGE)]

T = TypeVar("T")


def id_before(cursor: str) -> UUID | None:
    """Decode a cursor of a list by id; None for the first page. Raises Refusal invalid_request."""
    return None if not cursor else UUID(bytes=_decode(cursor, 16))


def seq_before(cursor: str) -> int | None:
    """Decode a cursor of a list by number; None for the first page. Raises Refusal invalid_request."""
    return None if not cursor else int.from_bytes(_decode(cursor, 8), signed=True)


def name_after(cursor: str) -> str:
    """Decode a cursor of a list by name; nothing for the first page. Raises Refusal invalid_request."""
    try:
        name = _bytes(cursor).decode()
    except UnicodeDecodeError:
        raise no_cursor() from None
    if not name.isprintable():
        raise no_cursor()
    return name


def cut(rows: list[T], limit: int, key: Callable[[T], UUID | int | str]) -> tuple[list[T], str | None]:
    """Cut `limit` + 1 rows that were read to a page. Return it with the cursor of the next page, which begins
    after the `key` of this page's last row.
    """
    page = rows[:limit]
    return page, cursor_after(key(page[-1])) if len(rows) > limit else None


def cursor_after(key: UUID | int | str) -> str:
    """The cursor of the page that begins after a row with this key."""
    match key:
        case UUID():
            as_bytes = key.bytes
        case int():
            as_bytes = key.to_bytes(8, signed=True)
        case str():
            as_bytes = key.encode()
    return base64.urlsafe_b64encode(as_bytes).rstrip(b"=").decode()


def _decode(cursor: str, length: int) -> bytes:
    """Raises Refusal invalid_request unless a cursor has `length` bytes."""
    key = _bytes(cursor)
    if len(key) != length:
        raise no_cursor()
    return key


def _bytes(cursor: str) -> bytes:
    """Raises Refusal invalid_request."""
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise no_cursor() from None


def no_cursor() -> Refusal:
    """The refusal of a cursor of another list, or of none."""
    return invalid(FieldError("cursor", "not a cursor of this list"))
