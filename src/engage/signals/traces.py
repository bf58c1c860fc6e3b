"""Traces that wait in Valkey for the due times of their credits: a sorted set a member, scored by due time.

They are bounded: some of each member, for an hour at most. All of them may be lost.
"""

from datetime import datetime
from typing import Final

from msgspec import Struct

from engage.connections.servers import Call
from engage.domain.keys import MemberKey

# Traces are kept for so long after their credits are due.
TRACE_TTL_S: Final = 600

# Those that would be kept for longer than this are not kept.
TRACE_MOST_S: Final = 3_600

TRACES_OF_MEMBER: Final = 8

# Members of a round trip. More of them could take so long that their server counts as away.
READS_AT_ONCE: Final = 1_000


class Carried(Struct, frozen=True):
    """The trace of a request whose credit is due later."""

    program_id: str
    member_id: str
    due_at: datetime
    trace: str


def trace_key(member: MemberKey) -> str:
    """Return the key of a member's traces, whose braces make its hash slot that of the member's topic."""
    program_id, member_id = member
    return f"engage:trace:{{{program_id}:{member_id}}}"


def keeping(carried: Carried, now: datetime) -> list[Call]:
    """Return the calls that keep a trace, in order; none for one that is due too late."""
    key, due = trace_key((carried.program_id, carried.member_id)), carried.due_at.timestamp()
    kept_s = int(max(due - now.timestamp(), 0)) + TRACE_TTL_S
    if kept_s > TRACE_MOST_S:
        return []
    return [
        Call(key, ("ZADD", key, f"{due}", carried.trace)),
        Call(key, ("ZREMRANGEBYRANK", key, 0, -TRACES_OF_MEMBER - 1)),
        # Traces that are due later keep the key for longer.
        Call(key, ("EXPIRE", key, kept_s, "NX")),
        Call(key, ("EXPIRE", key, kept_s, "GT")),
    ]


def reading(member: MemberKey, now: datetime) -> Call:
    """Return the call that reads the traces that are due."""
    key = trace_key(member)
    return Call(key, ("ZRANGEBYSCORE", key, "-inf", f"{now.timestamp()}"))


def removal(member: MemberKey, now: datetime) -> Call:
    """Return the call that removes the traces that are due."""
    key = trace_key(member)
    return Call(key, ("ZREMRANGEBYSCORE", key, "-inf", f"{now.timestamp()}"))
