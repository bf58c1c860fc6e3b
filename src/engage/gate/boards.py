"""Leaderboards in Valkey: the order of members, from rows of the database.

A board that is not whole is unknown, and the database answers for it. Rows carry the version of their row, so
they may be written twice and in any order, while the board is being loaded too.
"""

import struct
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any, Final

from msgspec import Struct

from engage.gate import keys

LIBRARY: Final = resources.files("engage.gate").joinpath("boards.lua").read_text()

TTL_S: Final = 40 * 86_400
COMPLETE: Final = "complete"
LOADING: Final = "loading:"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LARGEST: Final = (1 << 64) - 1
_PLACE: Final = struct.Struct(">QQ")
_VERSION: Final = struct.Struct(">Q")

BoardKey = tuple[str, str, str]  # (program, board, period)

Call = Callable[..., Awaitable[Any]]


class BoardRow(Struct, frozen=True):
    """A member's score in a period, in one version of its row. Without a score the member is not on it."""

    member_id: str
    score: int
    reached_at: datetime
    version: int


class Placed(Struct, frozen=True):
    """A member on a board. Ranks count from 1."""

    rank: int
    member_id: str
    score: int


class BoardPart(Struct, frozen=True):
    """Some places of a board, and how many members are on it."""

    members: int
    places: list[Placed]


class Boards:
    """Every call raises Unavailable("valkey") when Valkey cannot be reached."""

    def __init__(self, call: Call, get: Call) -> None:
        self._call = call
        self._get = get

    async def update(self, board: BoardKey, rows: Sequence[BoardRow]) -> None:
        """Write rows that have changed, unless the board is unknown."""
        if rows:
            await self._call("engage_board_update", _names(board), TTL_S, *_arguments(rows))

    async def load(self, board: BoardKey, rows: Sequence[BoardRow], *, state: str, then: str) -> bool:
        """Load the next rows of a board whose loading has come to `state`; False if another one goes on."""
        called = await self._call("engage_board_load", _names(board), TTL_S, state, then, *_arguments(rows))
        return bool(called)

    async def state(self, board: BoardKey) -> str:
        """Return COMPLETE, LOADING and the last member, or nothing for an unknown board."""
        found = await self._get(_names(board)[2])
        return "" if found is None else bytes(found).decode()

    async def top(self, board: BoardKey, count: int) -> BoardPart | None:
        """Read the first places. None for an unknown board."""
        return _part(await self._call("engage_board_read", _names(board), 0, count, ""))

    async def around(self, board: BoardKey, member_id: str, count: int) -> BoardPart | None:
        """Read a member's place with `count` before and after it; none if the member is not on the board."""
        return _part(await self._call("engage_board_read", _names(board), count, 0, member_id))


def sort_bytes(row: BoardRow) -> bytes:
    """Return the bytes in whose order members stand: higher scores first, then who reached them first."""
    if row.score == 0:
        return b""
    reached = (row.reached_at - _EPOCH) // timedelta(microseconds=1)
    return _PLACE.pack(_LARGEST - row.score, reached) + row.member_id.encode()


def _arguments(rows: Sequence[BoardRow]) -> list[str | bytes]:
    return [part for row in rows for part in (row.member_id, _VERSION.pack(row.version), sort_bytes(row))]


def _part(found: list[Any] | None) -> BoardPart | None:
    if found is None:
        return None
    members, first, *places = found
    return BoardPart(members, [_placed(first + n, place) for n, place in enumerate(places, start=1)])


def _placed(rank: int, place: bytes) -> Placed:
    inverted, _ = _PLACE.unpack_from(place)
    return Placed(rank, place[_PLACE.size :].decode(), _LARGEST - inverted)


def _names(board: BoardKey) -> list[str]:
    tag = f"{keys.PREFIX}board:{{{':'.join(board)}}}"
    return [f"{tag}:order", f"{tag}:places", f"{tag}:state"]
