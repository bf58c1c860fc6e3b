"""How many of each reward were given, of those that there are only so many of.

A reward's row is made when it is first asked for, and from then on counts; rewards without a limit have none,
so that nothing is shared by all who redeem them. Rows are locked after balances, and until the transaction
ends.
"""

from collections.abc import Iterable, Mapping

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.keys import RewardKey

# Before it was limited a reward may have been given too. That is counted once, for a row that is not there.
_MAKE = text("""
INSERT INTO reward_stock (program_id, reward_id, issued)
SELECT k.program_id, k.reward_id, (
    SELECT count(*) FROM coupons c WHERE c.program_id = k.program_id AND c.reward_id = k.reward_id
)
FROM unnest(CAST(:program_ids AS text[]), CAST(:reward_ids AS text[])) AS k (program_id, reward_id)
WHERE NOT EXISTS (
    SELECT FROM reward_stock s WHERE s.program_id = k.program_id AND s.reward_id = k.reward_id
)
ORDER BY k.program_id COLLATE "C", k.reward_id COLLATE "C"
ON CONFLICT DO NOTHING
""")

_LOCK = text("""
SELECT s.program_id, s.reward_id, s.issued
FROM unnest(CAST(:program_ids AS text[]), CAST(:reward_ids AS text[])) AS k (program_id, reward_id)
JOIN reward_stock s USING (program_id, reward_id)
ORDER BY s.program_id, s.reward_id
FOR UPDATE OF s
""")

_GIVE = text("""
UPDATE reward_stock s SET issued = s.issued + g.count
FROM unnest(CAST(:program_ids AS text[]), CAST(:reward_ids AS text[]), CAST(:counts AS bigint[]))
    AS g (program_id, reward_id, count)
WHERE s.program_id = g.program_id AND s.reward_id = g.reward_id
""")

_READ = text("""
SELECT program_id, reward_id, issued FROM reward_stock
WHERE program_id = :program_id AND reward_id = ANY(CAST(:reward_ids AS text[]))
""")


async def lock_stock(conn: AsyncConnection, rewards: Iterable[RewardKey]) -> dict[RewardKey, int]:
    """How many of each were given, which nobody else changes before this transaction ends."""
    keys = sorted(set(rewards))
    columns = {"program_ids": [p for p, _ in keys], "reward_ids": [r for _, r in keys]}
    await conn.execute(_MAKE, columns)
    rows = await conn.execute(_LOCK, columns)
    return {(program_id, reward_id): issued for program_id, reward_id, issued in rows}


async def give(conn: AsyncConnection, counts: Mapping[RewardKey, int]) -> None:
    """So many more of each, of rewards that are locked."""
    keys = sorted(counts)
    await conn.execute(
        _GIVE,
        {
            "program_ids": [p for p, _ in keys],
            "reward_ids": [r for _, r in keys],
            "counts": [counts[key] for key in keys],
        },
    )


async def read_stock(
    conn: AsyncConnection, program_id: str, reward_ids: Iterable[str]
) -> dict[RewardKey, int]:
    """How many of each were given. Whoever is the first to ask makes the rows."""
    asked = sorted(set(reward_ids))
    values = {"program_id": program_id, "reward_ids": asked}
    rows = (await conn.execute(_READ, values)).all()
    if len(rows) < len(asked):
        await conn.execute(_MAKE, {"program_ids": [program_id] * len(asked), "reward_ids": asked})
        rows = (await conn.execute(_READ, values)).all()
    return {(program_id, reward_id): issued for program_id, reward_id, issued in rows}
