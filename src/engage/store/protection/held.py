"""Suspicions, and the credits that they hold."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.protection.suspicion import Place
from engage.schema.protection import held_credits, suspicions
from engage.schema.rows import Batch

_FOUND = Batch(
    "s",
    suspicions,
    *("id", "program_id", "rule_id", "source", "of_window", "per", "counts", "at_most"),
)
_HELD = Batch("h", held_credits, "program_id", "member_id", "credit_id", "suspicion_id", "hold_s")

_OPEN = text(f"""
INSERT INTO suspicions AS t ({_FOUND.columns}, opened_at, newest_at)
SELECT {_FOUND.columns}, :now, :now FROM {_FOUND} ORDER BY program_id, rule_id, source, of_window
ON CONFLICT (program_id, rule_id, source, of_window)
    DO UPDATE SET newest_at = greatest(t.newest_at, excluded.newest_at)
RETURNING program_id, rule_id, source, of_window, id
""")  # noqa: S608  # Names of the schema, here and below.

_ADD = text(f"""
INSERT INTO held_credits ({_HELD.columns}, state) SELECT {_HELD.columns}, 'open' FROM {_HELD}
ORDER BY program_id, member_id, credit_id
""")  # noqa: S608

# What suspicions are told apart by: program, velocity rule, source, window.
SuspicionKey = tuple[str, str, bytes, str]


class HeldCredit(Struct, frozen=True):
    """A credit that is due later by so many seconds, and may be reviewed before."""

    program_id: str
    member_id: str
    credit_id: UUID
    suspicion_id: UUID
    hold_s: int


def key_of(place: Place) -> SuspicionKey:
    return place.program_id, place.rule.id, place.source, place.window


async def open_suspicions(
    conn: AsyncConnection, found: Sequence[tuple[UUID, Place]], *, now: datetime
) -> dict[SuspicionKey, UUID]:
    """Open suspicions of activities that have found no place, each once, with an id for a new one. Returns
    the ids that they have.
    """
    distinct = {key_of(place): (id_, place) for id_, place in found}
    rows = await conn.execute(
        _OPEN,
        _FOUND.of(
            (id_, *key, place.rule.per, place.rule.counts, place.rule.at_most)
            for key, (id_, place) in distinct.items()
        )
        | {"now": now},
    )
    return {(program_id, rule_id, source, window): id_ for program_id, rule_id, source, window, id_ in rows}


async def add_held(conn: AsyncConnection, held: Sequence[HeldCredit]) -> None:
    """Note credits as held, in the transaction that accepts them."""
    await conn.execute(_ADD, _HELD.of_structs(held))
