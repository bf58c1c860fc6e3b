"""Credits in a merger: each goes on in the survivor's account under its id.

The rows of the merged member stay as history. The survivor gets a row for each, with the same source key and
reference, so nothing is earned a second time and a later clawback finds its credit. Where the survivor has
that key already, the credit goes on as a transfer, under a key that nothing else uses.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.keys import TRANSFER_RULE, MemberKey, transfer_key
from engage.schema.credits import credits
from engage.schema.rows import Batch

# Credits of no points at first; their points are filled in when the lots are known. In the order in which
# accepting locks keys, and before balances, as there. A slot of a further limit that the survivor has used is
# left out: the credit's own key is what must not be earned again.
_TRACES = text("""
INSERT INTO credits (program_id, member_id, id, source_key, reference, rule_id, program_version, points,
                     state, activity_at, accepted_at, reversed_at, why, of_day, day_slot, of_month,
                     month_slot)
SELECT c.program_id, :into, c.id, c.source_key, c.reference, c.rule_id, c.program_version, 0, 'reversed',
       c.activity_at, c.accepted_at, :now, c.why,
       CASE WHEN d.id IS NULL THEN c.of_day END, CASE WHEN d.id IS NULL THEN c.day_slot END,
       CASE WHEN m.id IS NULL THEN c.of_month END, CASE WHEN m.id IS NULL THEN c.month_slot END
FROM credits c
LEFT JOIN credits d
    ON d.program_id = c.program_id AND d.member_id = :into AND d.of_day = c.of_day AND d.rule_id = c.rule_id
   AND d.day_slot = c.day_slot
LEFT JOIN credits m
    ON m.program_id = c.program_id AND m.member_id = :into AND m.of_month = c.of_month
   AND m.rule_id = c.rule_id AND m.month_slot = c.month_slot
WHERE c.program_id = :program_id AND c.member_id = :member_id
  AND c.rule_id <> ALL(CAST(:without AS text[]))
  AND (d.id IS NULL OR c.why -> 'inputs' ->> 'window' IS DISTINCT FROM to_char(c.of_day, 'YYYY-MM-DD'))
  AND (m.id IS NULL OR c.why -> 'inputs' ->> 'window' IS DISTINCT FROM to_char(c.of_month, 'YYYY-MM'))
ORDER BY c.source_key COLLATE "C"
ON CONFLICT DO NOTHING
RETURNING id
""")

_TRANSFERRED = Batch("t", credits, "id", "source_key", "reference")

_TRANSFERS = text(f"""
INSERT INTO credits (program_id, member_id, id, source_key, reference, rule_id, program_version, points,
                     state, activity_at, accepted_at, reversed_at, why)
SELECT c.program_id, :into, c.id, t.source_key,
       CASE WHEN NOT EXISTS (
           SELECT FROM credits k
           WHERE k.program_id = c.program_id AND k.member_id = :into AND k.reference = t.reference
             AND k.rule_id = :rule_id
       ) THEN t.reference END,
       :rule_id, c.program_version, 0, 'reversed', c.activity_at, c.accepted_at, :now, c.why
FROM {_TRANSFERRED}
JOIN credits c ON c.program_id = :program_id AND c.member_id = :member_id AND c.id = t.id
""")  # noqa: S608  # Names of the schema.

_FILL = text("""
UPDATE credits c
SET points = o.points, state = o.state, taken_back = o.taken_back, due_at = o.due_at, active_at = o.active_at,
    expires_at = o.expires_at, reversed_at = o.reversed_at
FROM credits o
WHERE c.program_id = :program_id AND c.member_id = :into AND c.id = ANY(CAST(:ids AS uuid[]))
  AND o.program_id = c.program_id AND o.member_id = :member_id AND o.id = c.id
""")


def _of(key: MemberKey, into: str | None = None) -> dict[str, str]:
    named = {"program_id": key[0], "member_id": key[1]}
    return named if into is None else named | {"into": into}


async def copy_credits(
    conn: AsyncConnection, key: MemberKey, into: str, *, without: Collection[str], now: datetime
) -> set[UUID]:
    """Add credits of no points for `into`, under the source keys of the member's credits that are free there.

    Credits of the rules `without` are left out. Returns the ids that were added.
    """
    values = _of(key, into) | {"without": sorted(without), "now": now}
    added = set((await conn.execute(_TRACES, values)).scalars())
    # Again, for those whose further slot an activity of the survivor took meanwhile.
    return added | set((await conn.execute(_TRACES, values)).scalars())


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
