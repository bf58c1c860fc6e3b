"""Counts of issued rewards, for rewards with a limited stock, and for those that campaigns offer a limited
number of times (`engage.domain.keys.offer_key`).

A reward's row is made when it is first needed, and counts from then on. Rewards without a limit have none, so
members who redeem them share no row. Rows are locked after balances, until the transaction ends.
"""

from collections.abc import Iterable, Mapping

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.keys import RewardKey
from engage.schema.rewards import reward_stock
from engage.schema.rows import Batch

_KEYS = Batch("k", reward_stock, "program_id", "reward_id")
_ISSUED = Batch("g", reward_stock, "program_id", "reward_id", "issued")

# The reward may have been issued before it was limited. That is counted once, when its row is made.
_MAKE = text(f"""
INSERT INTO reward_stock (program_id, reward_id, issued)
SELECT k.program_id, k.reward_id, (
    SELECT count(*) FROM coupons c
    WHERE c.program_id = k.program_id
      AND (c.reward_id = k.reward_id OR c.reward_id || '@' || c.campaign = k.reward_id)
)
FROM {_KEYS}
WHERE NOT EXISTS (
    SELECT FROM reward_stock s WHERE s.program_id = k.program_id AND s.reward_id = k.reward_id
)
ORDER BY k.program_id COLLATE "C", k.reward_id COLLATE "C"
ON CONFLICT DO NOTHING
""")  # noqa: S608  # Names of the schema, here and below.

_LOCK = text(f"""
SELECT s.program_id, s.reward_id, s.issued
FROM {_KEYS} JOIN reward_stock s USING (program_id, reward_id)
ORDER BY s.program_id, s.reward_id
FOR UPDATE OF s
""")  # noqa: S608

_ADD = text(f"""
UPDATE reward_stock s SET issued = s.issued + g.issued
FROM {_ISSUED} WHERE s.program_id = g.program_id AND s.reward_id = g.reward_id
""")  # noqa: S608


async def lock_stock(conn: AsyncConnection, rewards: Iterable[RewardKey]) -> dict[RewardKey, int]:
    """Lock the counts of these rewards until the transaction ends, and read how many were issued."""
    keys = _KEYS.of(sorted(set(rewards)))
    await conn.execute(_MAKE, keys)
    rows = await conn.execute(_LOCK, keys)
    return {(program_id, reward_id): issued for program_id, reward_id, issued in rows}


async def add_issued(conn: AsyncConnection, counts: Mapping[RewardKey, int]) -> None:
    """Add to the counts of rewards that are locked."""
    await conn.execute(_ADD, _ISSUED.of((*key, counts[key]) for key in sorted(counts)))


async def read_stock(
    conn: AsyncConnection, program_id: str, reward_ids: Iterable[str]
) -> dict[RewardKey, int]:
    """Read how many of each were issued. Rows that are missing are made."""
    wanted = sorted(set(reward_ids))
    stock = reward_stock.c
    query = select(stock.reward_id, stock.issued).where(
        stock.program_id == program_id, stock.reward_id.in_(wanted)
    )
    rows = (await conn.execute(query)).all()
    if len(rows) < len(wanted):
        await conn.execute(_MAKE, _KEYS.of((program_id, reward_id) for reward_id in wanted))
        rows = (await conn.execute(query)).all()
    return {(program_id, reward_id): issued for reward_id, issued in rows}
