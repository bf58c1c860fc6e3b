"""The sweep finds what was missed: due credits without a doorbell, unpublished changes, old responses."""

import asyncio
from datetime import timedelta

from sqlalchemy import text

from engage.domain.accounts.balance import Balance
from engage.flows.scheduled.due_work import DUE_WORK
from engage.flows.scheduled.sweep import delete_old_responses, publish_outbox, sweep
from engage.runtime.idempotency import keep_after
from engage.runtime.services import Services
from engage.signals.changes import Change
from engage.store.idempotency import RequestKey, StoredResponse
from tests.support.activities import PROGRAM, join, perform, tap
from tests.support.clock import FIVE_MINUTES, advance
from tests.support.crash import lose_publications
from tests.support.database import rows
from tests.support.topics import listening


async def leave_unpublished(services: Services) -> None:
    """Leave a balance change of a process that died ten seconds ago, before the publication."""
    await services.post_commit.drain()
    await perform(services, tap())
    lose_publications(services)
    await services.post_commit.drain()
    async with services.db.begin() as conn:
        await conn.execute(text("UPDATE outbox SET written_at = written_at - interval '10 seconds'"))


async def test_the_sweep_publishes_a_change_that_was_not_published(services: Services) -> None:
    await join(services)
    await leave_unpublished(services)
    assert await rows(services.db, "SELECT count(*) FROM outbox") == [(1,)]
    async with listening(services.topics, [(PROGRAM, "m-1")]) as feed:
        assert await publish_outbox(services) == 1
        assert await feed.get() == Change(PROGRAM, "m-1", 0, 52, 0, 0, 2, "pending")
    assert await rows(services.db, "SELECT count(*) FROM outbox") == [(0,)]
    assert await publish_outbox(services) == 0


async def test_the_sweep_publishes_the_newest_balance_and_settles_without_a_doorbell(
    services: Services,
) -> None:
    await join(services)
    await leave_unpublished(services)
    advance(services, FIVE_MINUTES)
    async with listening(services.topics, [(PROGRAM, "m-1")]) as feed:
        assert await sweep(services, DUE_WORK[0]) == 2
        await services.post_commit.drain()
        newest = Balance()
        while newest.seq < 4:
            change = await feed.get()
            assert isinstance(change, Change)
            newest = change.balance
    assert newest == Balance(active=52, seq=4)


async def test_the_sweep_leaves_recent_changes_to_their_process(services: Services) -> None:
    await join(services)
    await services.post_commit.drain()
    await perform(services, tap())
    assert await publish_outbox(services) == 0
    await services.post_commit.drain()
    assert await rows(services.db, "SELECT count(*) FROM outbox") == [(0,)]


async def test_two_sweeps_at_once_publish_everything(services: Services, other: Services) -> None:
    for n in range(5):
        await join(services, f"m-{n}")
    await services.post_commit.drain()
    async with services.db.begin() as conn:
        for n in range(40):
            await conn.execute(
                text(
                    "INSERT INTO outbox VALUES (uuidv7(), now() - interval '1 minute', 'active',"
                    " ARRAY['playground'], ARRAY[:member])"
                ),
                {"member": f"m-{n % 5}"},
            )
    published = await asyncio.gather(*(publish_outbox(process) for process in (services, other) * 3))
    assert sum(published) == 40
    assert await rows(services.db, "SELECT count(*) FROM outbox") == [(0,)]


async def test_responses_are_stored_for_three_days(services: Services) -> None:
    for key in ("old", "new"):
        await keep_after(services, RequestKey("m-1", key, b"f"), StoredResponse(202, [], b"{}"))
    async with services.db.begin() as conn:
        age = timedelta(hours=72, minutes=1)
        await conn.execute(
            text(
                "UPDATE idempotency_keys SET created_at = created_at - CAST(:age AS interval)"
                " WHERE key = 'old'"
            ),
            {"age": age},
        )
    assert await delete_old_responses(services) == 1
    assert await rows(services.db, "SELECT key FROM idempotency_keys") == [("new",)]
