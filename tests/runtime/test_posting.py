"""Balance changes are published once, after their transaction has committed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text

from engage.domain.refusals import Unavailable
from engage.ledger.accounts import Accounts, open_accounts
from engage.runtime.posting import Posting, open_posting
from engage.runtime.services import Services
from engage.settings import Settings
from engage.signals.changes import Change
from tests.support.activities import PROGRAM, join, services_with_activities
from tests.support.clock import NOON
from tests.support.crash import lose_publications
from tests.support.database import rows
from tests.support.topics import listening

MEMBERS = [(PROGRAM, "m-1"), (PROGRAM, "m-2")]


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with services_with_activities(settings) as opened:
        await join(opened, "m-1")
        await join(opened, "m-2")
        await opened.post_commit.drain()
        yield opened


async def add_pending(posting: Posting, points: int) -> Accounts:
    """Open both members' accounts and add these pending points to each."""
    accounts = await open_accounts(posting.conn, MEMBERS, now=NOON)
    for account in accounts.by_key.values():
        account.add_pending(points)
    return accounts


async def outbox(services: Services) -> list[tuple[object, ...]]:
    return await rows(services.db, "SELECT cause, member_ids FROM outbox ORDER BY id")


@asynccontextmanager
async def published(services: Services) -> AsyncIterator[list[Change]]:
    """Yield the changes that a feed gets of what the block posts. They are there after the block."""
    members = [*MEMBERS, (PROGRAM, "last")]
    found: list[Change] = []
    async with listening(services.topics, members) as changes:
        yield found
        await services.post_commit.drain()
        # A marker: all other changes arrive before this one.
        await services.topics.publish([Change(PROGRAM, "last", 0, 0, 0, 0, 0, "last")])
        while True:
            change = await changes.get()
            assert isinstance(change, Change)
            if change.member_id == "last":
                return
            found.append(change)


async def test_changes_are_published_after_the_commit_and_leave_the_outbox(services: Services) -> None:
    async with published(services) as changes, open_posting(services, cause="test") as posting:
        await posting.post(await add_pending(posting, 7))
        await services.post_commit.drain()
        assert await outbox(services) == [], "nothing is committed yet"
    assert sorted((c.member_id, c.pending, c.cause) for c in changes) == [
        ("m-1", 57, "test"),
        ("m-2", 57, "test"),
    ]
    assert await outbox(services) == []


async def test_a_rollback_publishes_nothing(services: Services) -> None:
    async def fail() -> None:
        async with open_posting(services, cause="test") as posting:
            await posting.post(await add_pending(posting, 7))
            raise ZeroDivisionError

    async with published(services) as changes:
        with pytest.raises(ZeroDivisionError):
            await fail()
    assert changes == []
    assert await outbox(services) == []


async def test_a_commit_that_fails_publishes_nothing(services: Services) -> None:
    async def lose_the_connection() -> None:
        async with open_posting(services, cause="test") as posting:
            await posting.post(await add_pending(posting, 7))
            pid = (await posting.conn.execute(text("SELECT pg_backend_pid()"))).scalar_one()
            await rows(services.db, "SELECT pg_terminate_backend(:pid, 5000)", pid=pid)

    async with published(services) as changes:
        with pytest.raises(Unavailable):
            await lose_the_connection()
    assert changes == []
    assert await outbox(services) == []


async def test_a_crash_after_the_commit_leaves_the_changes_in_the_outbox(services: Services) -> None:
    async with published(services) as changes:
        async with open_posting(services, cause="test") as posting:
            await posting.post(await add_pending(posting, 7))
        lose_publications(services)
    assert changes == []
    assert await outbox(services) == [("test", ["m-1", "m-2"])]


async def test_each_balance_is_published_with_its_own_cause(services: Services) -> None:
    async with published(services) as changes, open_posting(services, cause="test") as posting:
        await posting.post(await add_pending(posting, 7), causes={MEMBERS[1]: "held"})
    assert sorted((c.member_id, c.cause) for c in changes) == [("m-1", "expired"), ("m-2", "held")]


async def test_a_transaction_may_post_more_than_once(services: Services) -> None:
    async with published(services) as changes, open_posting(services, cause="test") as posting:
        for _ in range(2):
            await posting.post(await add_pending(posting, 7))
    assert [(c.pending, c.seq) for c in changes if c.member_id == "m-1"] == [(57, 2), (64, 3)]
    assert await outbox(services) == []


async def test_accounts_that_did_not_change_are_not_published(services: Services) -> None:
    async with published(services) as changes, open_posting(services, cause="test") as posting:
        await posting.post(await add_pending(posting, 0))
    assert changes == []
