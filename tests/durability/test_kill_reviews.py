"""A process is killed in the middle of a decision about a suspicion: the rest is done later, once."""

import asyncio
import os
import sys
from pathlib import Path
from uuid import UUID

from sqlalchemy import text

from engage.flows.protection.apply import apply_due
from engage.flows.protection.decide import undo
from engage.runtime.services import Services
from engage.settings import Settings, to_environment
from tests.durability.review_once import ANNA
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import FIVE_MINUTES
from tests.support.database import rows
from tests.support.protection import guarded_services, join, perform, ring

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120.0
LOOK_AGAIN_S = 0.02
HELD = ["m-04", "m-05", "m-06"]

_WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


async def kill_amid(services: Services, action: str, suspicion: UUID, *, blocked: str) -> None:
    """Kill a process while it waits for the rows of `blocked`, a condition on a table."""
    environment = {**os.environ, **to_environment(services.settings)}
    async with services.db.connect() as conn:
        await conn.execute(text(f"SELECT FROM {blocked} FOR UPDATE"))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.durability.review_once"),
            *(action, str(suspicion), services.clock.now().isoformat()),
            cwd=ROOT,
            env=environment,
        )
        async with asyncio.timeout(PATIENCE_S):
            while await rows(services.db, _WAITING) == [(0,)]:
                assert process.returncode is None, "it has ended without waiting"
                await asyncio.sleep(LOOK_AGAIN_S)
            process.kill()
            assert await process.wait() != 0


async def reviews(services: Services) -> list[str]:
    """The states of the review, by member."""
    found = await rows(services.db, "SELECT state FROM held_credits ORDER BY member_id")
    return [str(state) for (state,) in found]


async def pending(services: Services) -> list[int]:
    found = await rows(services.db, "SELECT pending FROM balances ORDER BY member_id")
    return [pending for (pending,) in found if isinstance(pending, int)]


async def finish(services: Services) -> None:
    await apply_due(services, now=services.clock.now())
    assert await apply_due(services, now=services.clock.now()) == 0, "each credit is done once"


async def test_what_was_decided_is_done_once_whoever_dies_over_it(settings: Settings) -> None:
    async with guarded_services(settings) as services:
        await join(services, ring(6))
        for member in ring(6):
            await perform(services, member)
        ((suspicion,),) = await rows(services.db, "SELECT id FROM suspicions")
        assert isinstance(suspicion, UUID)
        third = "balances WHERE member_id = 'm-06'"
        credits = f"stored_credits WHERE account = (SELECT account FROM {third})"

        await kill_amid(services, "reject", suspicion, blocked=third)
        assert await reviews(services) == ["rejected", "rejected", "rejecting"]
        await kill_amid(services, "finish", suspicion, blocked=third)
        await finish(services)
        assert await reviews(services) == ["rejected"] * 3
        assert await pending(services) == [2, 2, 2, 0, 0, 0]

        await kill_amid(services, "undo", suspicion, blocked=third)
        assert await reviews(services) == ["open", "open", "restoring"]
        await finish(services)
        assert await pending(services) == [2] * 6
        restored = "SELECT member_id, count(*) FROM credits WHERE rule_id = 'restored' GROUP BY 1 ORDER BY 1"
        assert await rows(services.db, restored) == [(member, 1) for member in HELD]

        await kill_amid(services, "release", suspicion, blocked=credits)
        assert await reviews(services) == ["released", "released", "releasing"]
        await finish(services)
        await undo(services, suspicion, operator=ANNA, reason="no family")
        assert await reviews(services) == ["open"] * 3

        decisions = "SELECT kind, undone_at IS NOT NULL FROM suspicion_decisions ORDER BY id"
        assert await rows(services.db, decisions) == [("rejected", True), ("released", True)]
        late = "SELECT member_id FROM credits WHERE state = 'pending' AND due_at > :at ORDER BY 1"
        normal = services.clock.now() + FIVE_MINUTES
        assert await rows(services.db, late, at=normal) == [(member,) for member in HELD], "held again"
        await assert_audit_is_clean(services)
