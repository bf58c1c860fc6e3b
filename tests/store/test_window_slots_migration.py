"""Credits of an earlier release get the slots of their windows, and erased keys that look like one go."""

import json
from typing import Any

from alembic import command
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from engage.runtime.database import open_database
from engage.runtime.ids import new_id
from engage.settings import Settings
from tests.support.database import rows
from tests.support.migrations import move

ERASED = [["erased", {}]]
STREAK = {"day": "2026-11-21", "zone": "Europe/Madrid", "streak_days": 3}

# (rule, source key, inputs, trace), and what becomes of it: (source key or None for a digest, day, month).
CREDITS: list[
    tuple[tuple[str, str, dict[str, Any], list[Any]], tuple[str | None, str | None, str | None]]
] = [
    (
        ("share", "share:2026-11:2", {"window": "2026-11", "slot": 2, "of": 3}, []),
        ("share:2026-11:2", None, "2026-11-01 2"),
    ),
    (
        ("daily", "daily:2026-11-21:1", {"window": "2026-11-21", "slot": 1, "of": 1}, []),
        ("daily:2026-11-21:1", "2026-11-21 1", None),
    ),
    (
        ("transfer", "transfer:m-0:1", {"window": "2026-11", "slot": 3, "of": 3}, []),
        ("transfer:m-0:1", None, None),
    ),
    (("review", "review:2026-11:2", {"key": "2026-11:2"}, []), ("review:2026-11:2", None, None)),
    (("fuel", "fuel:2026-11-21", STREAK, ERASED), ("fuel:2026-11-21", None, None)),
    (
        ("share", "share:2026-11:3", {"window": "2026-11", "slot": 3}, ERASED),
        ("share:2026-11:3", None, "2026-11-01 3"),
    ),
    (("joining", "joining", {}, ERASED), ("joining", None, None)),
    (("review", "review:2026-11", {}, ERASED), (None, None, None)),
    (("review", "review:2026-11-21:7", {}, ERASED), (None, None, None)),
    (("adjustment", "adjustment:2026-12", {}, ERASED), (None, None, None)),
]


async def add_credit(db: AsyncEngine, rule: str, key: str, inputs: dict[str, Any], trace: list[Any]) -> None:
    async with db.begin() as conn:
        await conn.execute(
            text(
                "INSERT INTO credits (program_id, member_id, id, source_key, rule_id, program_version,"
                " points, state, activity_at, accepted_at, due_at, why) VALUES ('p', 'm', :id, :key, :rule,"
                " '1', 5, 'pending', now(), now(), now(), CAST(:why AS jsonb))"
            ),
            {
                "id": new_id(),
                "key": key,
                "rule": rule,
                "why": json.dumps({"inputs": inputs, "trace": trace}),
            },
        )


async def test_slots_are_filled_and_erased_keys_forgotten(own_database: Settings) -> None:
    db = open_database(own_database.database_url, pool_size=1)
    try:
        await move(db, command.downgrade, "0006")
        for credit, _ in CREDITS:
            await add_credit(db, *credit)
        await move(db, command.upgrade, "head")
        found = await rows(
            db,
            "SELECT source_key, of_day || ' ' || day_slot, of_month || ' ' || month_slot FROM credits"
            " ORDER BY id",
        )
        for (credit, (key, day, month)), (found_key, *found_slots) in zip(CREDITS, found, strict=True):
            assert found_slots == [day, month], credit
            if key is None:
                assert str(found_key) != credit[1]
                assert len(str(found_key)) == len(credit[0]) + 33
            else:
                assert found_key == key
        await move(db, command.downgrade, "0006")
        await move(db, command.upgrade, "head")
        again = await rows(db, "SELECT source_key FROM credits ORDER BY id")
        assert [key for (key,) in again] == [key for key, *_ in found], "a second run changes nothing"
    finally:
        await db.dispose()
