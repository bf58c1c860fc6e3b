"""All keys of the gate in Valkey, and the records in its hashes.

Members share hashes, about fifteen in each at a million members: a small hash keeps its fields in one packed
block, so a member costs less than 100 bytes instead of the 150 of a separate key. The braces are the hash tag
that puts all keys of a bucket on one node of a Cluster.
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
    """The hash in which a member's records are a field."""
    return f"{PREFIX}{{{program_id}:{crc32(member_id.encode()) % BUCKETS:x}}}"


def once(program_id: str, member_id: str, source_key: str) -> str:
    return f"{bucket(program_id, member_id)}:{member_id}:{source_key}"


class SlotRecord(Struct, frozen=True):
    """The state of one rule for a member, as described in library.lua."""

    code: int
    kind: int
    period: int
    value: int
    zone: int = 0
    unconfirmed: int = 0


def streak_record(rule_id: str, last_day: int, days: int, zone: str) -> SlotRecord:
    return SlotRecord(short_code(rule_id), STREAK, last_day, days, short_code(zone))


def window_record(rule_id: str, kind: str, period: int, used: list[int]) -> SlotRecord:
    """`used` are the numbers of the used slots, from 1."""
    bits = 0
    for number in used:
        bits |= 1 << (number - 1)
    return SlotRecord(short_code(rule_id), WINDOW_KINDS[kind], period, bits)


def pack(records: list[SlotRecord]) -> bytes:
    return b"".join(_RECORD.pack(r.code, r.kind, r.period, r.value, r.zone, r.unconfirmed) for r in records)


def unpack(packed: bytes) -> list[SlotRecord]:
    return [SlotRecord(*fields) for fields in _RECORD.iter_unpack(packed)]
