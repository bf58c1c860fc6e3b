"""The result of a change of a segment."""

from datetime import datetime
from typing import Literal

from msgspec import Struct, field

from engage.flows.segments.id_list import BadLine
from engage.store.segments.lists import UnknownId


class ListPreview(Struct, frozen=True, kw_only=True):
    """The changes of a list if it were stored now, with the counts and lines of a SegmentChange."""

    id: str
    members: int
    added: int
    removed: int
    repeated: int
    unknown: int
    unknown_ids: list[UnknownId]
    unknown_not_shown: int
    bad: int
    bad_lines: list[BadLine]
    bad_not_shown: int


class SegmentChange(Struct, frozen=True, kw_only=True):
    """A version of a segment, in force `since` an instant. `members` are those in its list, each counted
    once; null where it is computed.

    Of a list that was sent: `added` and `removed` are against the list that there was; `repeated` lines name
    a member again; `unknown` lines have an id of no member of the program, and `bad` ones have no id. The
    first of these are listed.
    """

    program: str
    id: str
    kind: Literal["list", "computed"]
    version: int
    since: datetime
    members: int | None
    added: int = 0
    removed: int = 0
    repeated: int = 0
    unknown: int = 0
    unknown_ids: list[UnknownId] = field(default_factory=list)
    unknown_not_shown: int = 0
    bad: int = 0
    bad_lines: list[BadLine] = field(default_factory=list)
    bad_not_shown: int = 0
