"""How many of each limited reward were given. Locked after balances, and until the transaction ends."""

from collections.abc import Iterable, Mapping

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

RewardKey = tuple[str, str]  # (program, reward)

# A row that is not there yet is made, so that there is one to lock.
_LOCK = text("""
INSERT INTO reward_stock AS s (program_id, reward_id)
SELECT * FROM unnest(CAST(:program_ids AS text[]), CAST(:reward_ids AS text[])) AS k (program_id, reward_id)
ORDER BY k.program_id COLLATE "C", k.reward_id COLLATE "C"
ON CONFLICT (program_id, reward_id) DO UPDATE SET issued = s.issued
RETURNING s.program_id, s.reward_id, s.issued
""")

_GIVE = text("""
UPDATE reward_stock s SET issued = s.issued + g.count
FROM unnest(CAST(:program_ids AS text[]), CAST(:reward_ids AS text[]), CAST(:counts AS bigint[]))
    AS g (program_id, reward_id, count)
WHERE s.program_id = g.program_id AND s.reward_id = g.reward_id
""")

_READ = text("SELECT reward_id, issued FROM reward_stock WHERE program_id = :program_id")


async def lock_stock(conn: AsyncConnection, rewards: Iterable[RewardKey]) -> dict[RewardKey, int]:
    """How many of each were given, which nobody else changes before this transaction ends."""
    keys = sorted(set(rewards))
    rows = await conn.execute(
        _LOCK, {"program_ids": [p for p, _ in keys], "reward_ids": [r for _, r in keys]}
    )
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


async def read_stock(conn: AsyncConnection, program_id: str) -> dict[str, int]:
    """How many of each of a program's limited rewards were given; one that is missing, never."""
    rows = await conn.execute(_READ, {"program_id": program_id})
    return {row[0]: row[1] for row in rows}
