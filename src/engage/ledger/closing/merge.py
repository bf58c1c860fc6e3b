"""Credits in a merger: each goes on in the survivor's account under its id.

The rows of the merged member stay as history. The survivor gets a row for each, with the same source key and
reference, so nothing is earned a second time and a later clawback finds its credit. Where the survivor has
that key already, the credit goes on as a transfer, under a key that nothing else uses. Which pending credits
go on at all, `engage.domain.earning.merged_slots` decides.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.earning.merged_slots import DayUse, SlotMove, SlotOf, SurvivorSlots
from engage.domain.earning.trace import TraceCode, step
from engage.domain.keys import TRANSFER_RULE, MemberKey, transfer_key
from engage.schema.balances import account_of
from engage.schema.credits import credits
from engage.schema.rows import Batch

_MOVED = Batch("t", credits, "id", "source_key", "of_day", "day_slot", "of_month", "month_slot")

_MERGED = account_of(":program_id", ":member_id")
_SURVIVOR = account_of(":program_id", ":into")

# Credits of no points at first; their points are filled in when the lots are known. In the order in which
# accepting locks keys, and before balances, as there.
_TRACES = text(f"""
INSERT INTO stored_credits (account, id, source_key, reference, rule_id, program_version, points, state,
                            activity_at, accepted_at, reversed_at, decision, why, of_day, day_slot, of_month,
                            month_slot, unit, boost, beside, campaign)
SELECT {_SURVIVOR}, c.id, t.source_key, c.reference, c.rule_id, c.program_version, 0, 'reversed',
       c.activity_at, c.accepted_at, :now, c.decision, c.why, t.of_day, t.day_slot, t.of_month, t.month_slot,
       c.unit, c.boost, c.beside, c.campaign
FROM {_MOVED}
JOIN stored_credits c ON c.account = {_MERGED} AND c.id = t.id
ORDER BY t.source_key COLLATE "C"
ON CONFLICT DO NOTHING
RETURNING id
""")  # noqa: S608  # Names of the schema, here and below.

_SLOTS = text("""
SELECT source_key, reference, rule_id, beside, of_day, day_slot, of_month, month_slot
FROM credits WHERE program_id = :program_id AND member_id = :into
""")

# The day of a streak counts as used.
_DAY = text(f"""
INSERT INTO stored_credits (account, id, source_key, rule_id, program_version, points, state, activity_at,
                            accepted_at, reversed_at, of_day, day_slot, of_month, month_slot, why, streak_seq)
SELECT {_SURVIVOR}, uuidv7(), :source_key, :rule_id, c.program_version, 0, 'reversed', c.activity_at,
       c.accepted_at, :now, :of_day, :day_slot, :of_month, :month_slot, CAST(:why AS jsonb), :seq
FROM credits c
WHERE c.program_id = :program_id AND c.member_id = :member_id AND c.id = :id
ON CONFLICT DO NOTHING
""")  # noqa: S608

_TRANSFERRED = Batch("t", credits, "id", "source_key", "reference")

_TRANSFERS = text(f"""
INSERT INTO stored_credits (account, id, source_key, reference, rule_id, program_version, points, state,
                            activity_at, accepted_at, reversed_at, decision, why, unit)
SELECT {_SURVIVOR}, c.id, t.source_key,
       CASE WHEN NOT EXISTS (
           SELECT FROM stored_credits k
           WHERE k.account = {_SURVIVOR} AND k.reference = t.reference AND k.rule_id = :rule_id
       ) THEN t.reference END,
       :rule_id, c.program_version, 0, 'reversed', c.activity_at, c.accepted_at, :now, c.decision, c.why,
       c.unit
FROM {_TRANSFERRED}
JOIN stored_credits c ON c.account = {_MERGED} AND c.id = t.id
""")  # noqa: S608

_FILL = text(f"""
UPDATE stored_credits c
SET points = o.points, state = o.state, taken_back = o.taken_back, due_at = o.due_at, active_at = o.active_at,
    lapses_at = o.lapses_at, expires_at = o.expires_at, reversed_at = o.reversed_at
FROM stored_credits o
WHERE c.account = {_SURVIVOR} AND c.id = ANY(CAST(:ids AS uuid[])) AND o.account = {_MERGED} AND o.id = c.id
""")  # noqa: S608


def _of(key: MemberKey, into: str | None = None) -> dict[str, str]:
    named = {"program_id": key[0], "member_id": key[1]}
    return named if into is None else named | {"into": into}


async def read_survivor(conn: AsyncConnection, key: MemberKey, into: str) -> SurvivorSlots:
    """Read the slots that `into` has used, in which the member's credits have to find theirs."""
    slots = SurvivorSlots(set(), set(), {})
    for row in await conn.execute(_SLOTS, {"program_id": key[0], "into": into}):
        slots.keys.add(row.source_key)
        if row.reference is not None and row.beside is None:
            slots.references.add((row.reference, row.rule_id))
        if row.of_day is not None:
            slots.numbers.setdefault(SlotOf(row.rule_id, "day", row.of_day), set()).add(row.day_slot)
        if row.of_month is not None:
            slots.numbers.setdefault(SlotOf(row.rule_id, "month", row.of_month), set()).add(row.month_slot)
    return slots


async def copy_credits(
    conn: AsyncConnection, key: MemberKey, into: str, moves: Sequence[SlotMove], *, now: datetime
) -> set[UUID]:
    """Add credits of no points for `into`, under their keys and in their places there.

    Returns the ids that were added: the survivor may have used a slot meanwhile.
    """
    if not moves:
        return set()
    rows = await conn.execute(_TRACES, _of(key, into) | _MOVED.of_structs(moves) | {"now": now})
    return set(rows.scalars())


async def use_day(
    conn: AsyncConnection,
    key: MemberKey,
    into: str,
    day: DayUse,
    *,
    inputs: Mapping[str, Any],
    seq: int | None,
    now: datetime,
) -> bool:
    """Use a day of a streak with a credit of no points. With a `seq` it is the next event of the streak, and
    `inputs` say what the streak is after it.

    Returns False where the survivor has used the day, or the seq, meanwhile.
    """
    why = {"trace": [step(TraceCode.EARNED_BEFORE)], **({"inputs": inputs} if inputs else {})}
    values = msgspec.structs.asdict(day.place) | {"rule_id": day.rule_id, "seq": seq, "now": now}
    why_json = msgspec.json.encode(why).decode()
    return bool((await conn.execute(_DAY, _of(key, into) | values | {"why": why_json})).rowcount)


async def add_transfers(
    conn: AsyncConnection,
    key: MemberKey,
    into: str,
    transfers: Sequence[tuple[UUID, str | None]],
    *,
    now: datetime,
) -> None:
    """Add credits of no points for `into` under transfer keys: (credit id, its reference from now on)."""
    rows = [(id_, transfer_key(key[1], id_), reference) for id_, reference in transfers]
    await conn.execute(
        _TRANSFERS, _of(key, into) | _TRANSFERRED.of(rows) | {"rule_id": TRANSFER_RULE, "now": now}
    )


async def fill_credits(conn: AsyncConnection, key: MemberKey, into: str, ids: Sequence[UUID]) -> None:
    """Give these credits of `into` the points, state and times of the member's."""
    await conn.execute(_FILL, _of(key, into) | {"ids": list(ids)})
