"""The gate's keys in Valkey, all of them, and the records that its hashes hold.

Members share hashes, about fifteen to one at a million members: a small hash keeps its fields in one
packed block, so a member costs under 100 bytes where a key of its own would cost 150. The braces are the
hash tag that puts everything of a bucket on one node of a Cluster.
"""

import struct
from zlib import crc32

from msgspec import Struct

from engage.domain.earning.slots import short_code

BUCKETS = 65_536
PREFIX = "engage:gate:"

STREAK, DAY, MONTH = 0, 1, 2
WINDOW_KINDS = {"day": DAY, "month": MONTH}

_RECORD = struct.Struct(">HBHIHB")


def bucket(program_id: str, member_id: str) -> str:
    """The hash that a member's records are a field of."""
    return f"{PREFIX}{{{program_id}:{crc32(member_id.encode()) % BUCKETS:x}}}"


def once(program_id: str, member_id: str, source_key: str) -> str:
    return f"{bucket(program_id, member_id)}:{member_id}:{source_key}"


class SlotRecord(Struct, frozen=True):
    """What the gate knows of one rule of a member; see library.lua."""

    code: int
    kind: int
    period: int
    value: int
    zone: int = 0
    unconfirmed: int = 0


def streak_record(rule_id: str, last_day: int, days: int, zone: str) -> SlotRecord:
    return SlotRecord(short_code(rule_id), STREAK, last_day, days, short_code(zone))


def window_record(rule_id: str, kind: str, period: int, places: list[int]) -> SlotRecord:
    """`places` are the used ones, from 1."""
    bits = 0
    for place in places:
        bits |= 1 << (place - 1)
    return SlotRecord(short_code(rule_id), WINDOW_KINDS[kind], period, bits)


def pack(records: list[SlotRecord]) -> bytes:
    return b"".join(_RECORD.pack(r.code, r.kind, r.period, r.value, r.zone, r.unconfirmed) for r in records)


def unpack(packed: bytes) -> list[SlotRecord]:
    return [SlotRecord(*fields) for fields in _RECORD.iter_unpack(packed)]
