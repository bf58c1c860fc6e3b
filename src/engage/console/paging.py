"""Lists that pages show in parts: where a part begins, and where the next one does."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, Generic, TypeVar
from uuid import UUID

from msgspec import Struct

PAGE: Final = 25
LARGEST_NUMBER: Final = 2**63 - 1

T = TypeVar("T")


class Shown(Struct, Generic[T], frozen=True):
    """A part of a list. `next_page` is the place where the next part begins, empty after the last."""

    items: Sequence[T]
    next_page: str
    is_first: bool


def shown_page(found: Sequence[T], begin: str, place: Callable[[T], object]) -> Shown[T]:
    """The part of a list that begins at `begin`. `found` has one more where more follow."""
    items = found[:PAGE]
    return Shown(items, str(place(items[-1])) if len(found) > PAGE else "", not begin)


def place_of(at: datetime, id_: object) -> str:
    """The place of an item in a list that is ordered by time."""
    return f"{at.isoformat()}/{id_}"


def read_place(text: str) -> tuple[datetime, str] | None:
    """Read a place by time, or nothing where the text is none."""
    at, _, id_ = text.partition("/")
    try:
        instant = datetime.fromisoformat(at)
    except ValueError:
        return None
    return (instant, id_) if instant.tzinfo is not None else None


def read_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def read_number(text: str) -> int | None:
    """Read a number, at most the largest that a list may have."""
    return min(int(text), LARGEST_NUMBER) if text.isascii() and text.isdecimal() else None
