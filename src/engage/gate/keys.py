"""All keys of the gate in Valkey, and the records in its hashes.

Members share hashes, about fifteen in each at a million members: a small hash keeps its fields in one packed
block, so a member costs less than 100 bytes instead of the 150 of a separate key. The braces are the hash tag
that puts all keys of a bucket on one node of a Cluster.
"""

import struct
from datetime import datetime
from typing import ClassVar
from zlib import crc32

from msgspec import Struct
from msgspec.structs import astuple

from engage.domain import calendar
from engage.domain.earning.slots import short_code
from engage.domain.earning.streak import Streak

BUCKETS = 65_536
PREFIX = "engage:gate:"

STREAK, DAY, MONTH = 0, 1, 2
WINDOW_KINDS = {"day": DAY, "month": MONTH}

# A member who was never given freezes, which is not the same as one who has none left.
NO_FREEZES = 255

_HEAD = struct.Struct(">HB")


def bucket(program_id: str, member_id: str) -> str:
    """The hash in which a member's records are a field."""
    return f"{PREFIX}{{{program_id}:{crc32(member_id.encode()) % BUCKETS:x}}}"


def once(program_id: str, member_id: str, source_key: str) -> str:
    return f"{bucket(program_id, member_id)}:{member_id}:{source_key}"


class StreakRecord(Struct, frozen=True):
    """A streak of a member, as described in library.lua."""

    FORMAT: ClassVar = struct.Struct(">HBHHHHBBHHI")

    code: int
    kind: int
    period: int
    days: int
    frozen: int
    zone: int
    unconfirmed: int
    freezes: int
    best: int
    seq: int
    at: int


class WindowRecord(Struct, frozen=True):
    """The used slots of a window, as bits of `value`."""

    FORMAT: ClassVar = struct.Struct(">HBHIB")

    code: int
    kind: int
    period: int
    value: int
    unconfirmed: int = 0


Record = StreakRecord | WindowRecord


def streak_record(rule_id: str, streak: Streak, seq: int) -> StreakRecord:
    """`seq` is how many events of the streak there were. A run that has ended has no days: none goes on."""
    is_over = streak.ended_on is not None
    return StreakRecord(
        code=short_code(rule_id),
        kind=STREAK,
        period=calendar.day_number(streak.last_day),
        days=0 if is_over else streak.days,
        frozen=0 if is_over else streak.frozen,
        zone=short_code(streak.zone),
        unconfirmed=0,
        freezes=NO_FREEZES if streak.freezes is None else streak.freezes,
        best=streak.best,
        seq=seq,
        at=seconds(streak.at),
    )


def seconds(at: datetime) -> int:
    """Whole seconds since 1970, in which the gate tells what came first."""
    return int(at.timestamp())


def window_record(rule_id: str, kind: str, period: int, used: list[int]) -> WindowRecord:
    """`used` are the numbers of the used slots, from 1."""
    bits = 0
    for number in used:
        bits |= 1 << (number - 1)
    return WindowRecord(short_code(rule_id), WINDOW_KINDS[kind], period, bits)


def pack(records: list[Record]) -> bytes:
    return b"".join(record.FORMAT.pack(*astuple(record)) for record in records)


def unpack(packed: bytes) -> list[Record]:
    records: list[Record] = []
    at = 0
    while at < len(packed):
        _, kind = _HEAD.unpack_from(packed, at)
        form: type[Record] = StreakRecord if kind == STREAK else WindowRecord
        records.append(form(*form.FORMAT.unpack_from(packed, at)))
        at += form.FORMAT.size
    return records
