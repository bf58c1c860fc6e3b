"""A worker is killed while it pays steps of challenges: each is paid once, and none is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import text

from engage.domain.activity import Review
from engage.embedded.child_process import ChildProcess, ProcessSpec, engage_command, start
from engage.flows.activities.activity import MemberActivity
from engage.flows.activities.record import record
from engage.flows.operations.audit import audit
from engage.runtime.services import Services
from engage.settings import Settings, to_environment
from tests.support.challenges import define, services_with_challenges
from tests.support.clock import running_clock
from tests.support.database import rows
from tests.support.locks import locked_account
from tests.support.orders import PROGRAM

MEMBERS = 1_500
AT_ONCE = 15
PATIENCE_S = 120.0
LOOK_AGAIN_S = 0.01

_ADD_MEMBERS = (
    """
    INSERT INTO members (program_id, member_id, country, kind, joined_at)
    SELECT :program, 'm-' || n, 'ES', 'person', :at FROM generate_series(0, :count - 1) n
    """,
    "INSERT INTO balances (program_id, member_id) SELECT program_id, member_id FROM members",
)


async def test_steps_are_paid_once_when_a_worker_is_killed(settings: Settings, tmp_path: Path) -> None:
    async with services_with_challenges(settings, running_clock()) as services:
        await _add_members(services)
        await define(
            services,
            goal={"kind": "distinct_products", "activity": "review"},
            steps=[{"at": 1, "points": 10, "reward": "five_off"}],
        )
        for first in range(0, MEMBERS, AT_ONCE):
            await _review(services, range(first, first + AT_ONCE))
        async with locked_account(settings, f"m-{MEMBERS - 1}"):
            for _ in range(2):
                before = await _paid(services)
                async with _worker(settings, tmp_path) as child:
                    await _until_paid(services, before + 1)
                    child.kill()
                    await child.wait()
        assert 0 < await _paid(services) < MEMBERS, "killed in the middle"
        assert (await audit(settings)).broken == []
        async with _worker(settings, tmp_path):
            await _until_paid(services, MEMBERS)
            await _until_nothing_is_noted(services)
        assert await rows(
            services.db, "SELECT points, count(*) FROM credits WHERE rule_id = 'challenge:critic' GROUP BY 1"
        ) == [(10, MEMBERS)]
        assert await rows(services.db, "SELECT count(*) FROM coupons") == [(2,)], "as many as there are"
        assert (await audit(settings)).broken == []


async def _add_members(services: Services) -> None:
    values = {"program": PROGRAM, "count": MEMBERS, "at": services.clock.now()}
    async with services.db.begin() as conn:
        for statement in _ADD_MEMBERS:
            named = {name: value for name, value in values.items() if f":{name}" in statement}
            await conn.execute(text(statement), named)


async def _review(services: Services, members: range) -> None:
    activity = Review(product_id="band", review_id="r-1")
    at = services.clock.now()
    done = [MemberActivity(PROGRAM, f"m-{n}", activity, at) for n in members]
    for answer in await record(services, done):
        assert not isinstance(answer, Exception), answer


@asynccontextmanager
async def _worker(settings: Settings, folder: Path) -> AsyncIterator[ChildProcess]:
    child = await start(
        ProcessSpec(
            name="worker",
            command=engage_command("worker"),
            log=folder / "worker.log",
            directory=folder,
            environment=to_environment(settings),
            ready=None,
        )
    )
    try:
        yield child
    finally:
        await child.stop()


async def _until_paid(services: Services, count: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await _paid(services) < count:
            await asyncio.sleep(LOOK_AGAIN_S)


async def _until_nothing_is_noted(services: Services) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await rows(services.db, "SELECT id FROM member_changes LIMIT 1"):
            await asyncio.sleep(LOOK_AGAIN_S)


async def _paid(services: Services) -> int:
    ((count,),) = await rows(services.db, "SELECT count(*) FROM credits WHERE rule_id = 'challenge:critic'")
    assert isinstance(count, int)
    return count
