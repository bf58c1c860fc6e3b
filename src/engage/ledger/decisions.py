"""Decisions that many credits share, by number. Each is stored once, whoever stores it first."""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# The instant of the activity differs from credit to credit, and is in their rows.
_WHYS = """(
    SELECT n, why, sha256(convert_to(CAST(why AS text), 'UTF8')) AS digest
    FROM (
        SELECT n, CAST(why AS jsonb) - 'at' AS why
        FROM unnest(CAST(:whys AS text[])) WITH ORDINALITY AS w (why, n)
        OFFSET 0
    ) w
) w"""

_READ = text(f"SELECT w.n, d.id FROM {_WHYS} JOIN decisions d USING (digest)")  # noqa: S608  # Constants.

_ADD = text(f"""
INSERT INTO decisions (digest, program_version, why)
SELECT digest, why ->> 'version', why FROM {_WHYS} ORDER BY digest
ON CONFLICT (digest) DO NOTHING
""")  # noqa: S608


async def store_decisions(conn: AsyncConnection, whys: Sequence[str]) -> list[int]:
    """Store decisions, each the JSON of a `Why`; their numbers, in order.

    `conn` commits each statement: what another process stores at the same time is seen afterwards.
    """
    found = await _read(conn, whys)
    missing = [why for why, number in zip(whys, found, strict=True) if number is None]
    if missing:
        await conn.execute(_ADD, {"whys": missing})
        found = await _read(conn, whys)
    numbers = [number for number in found if number is not None]
    assert len(numbers) == len(whys), "a decision is never deleted"
    return numbers


async def _read(conn: AsyncConnection, whys: Sequence[str]) -> list[int | None]:
    numbers = {row.n: row.id for row in await conn.execute(_READ, {"whys": list(whys)})}
    return [numbers.get(n) for n in range(1, len(whys) + 1)]
