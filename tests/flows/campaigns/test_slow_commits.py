"""An action that is not committed in time is not done at all: others decide by its absence from then on.

PostgreSQL ends its transaction, wherever it waits: for another operator, or in the commit itself.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis
from sqlalchemy import text

from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.lifecycle import (
    COMMITS_WITHIN,
    DELAY,
    READ_WITHIN,
    ActionKind,
    State,
    effective_at,
)
from engage.domain.refusals import Unavailable
from engage.flows.campaigns import act as act_module
from engage.flows.campaigns.act import ActedVersion, act
from engage.flows.campaigns.change import create
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.settings import Settings
from engage.store.campaigns import versions
from tests.support.audit import assert_audit_is_clean
from tests.support.campaigns import boost, document, operator
from tests.support.clock import NOON, StoppedClock, advance
from tests.support.database import rows
from tests.support.tiers import PROGRAM, join, services_with_tiers, tap

KEY: Final = PROGRAM, "double"
DONE: Final[dict[ActionKind, State]] = {
    "approved": "running",
    "paused": "paused",
    "resumed": "running",
    "ended": "ended",
}
EFFECTIVE: Final[tuple[ActionKind, ...]] = ("approved", "paused", "resumed", "ended")

Slow = Callable[[Services], AbstractAsyncContextManager[None]]

# Each commit of an action that changes what is in force takes an hour, if it is let. Clients would give up
# too, but later.
SLOW = (
    f"""
    CREATE FUNCTION take_an_hour() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        ASSERT current_setting('transaction_timeout') = '{COMMITS_WITHIN // timedelta(milliseconds=1)}ms';
        PERFORM pg_sleep(3600);
        RETURN NULL;
    END $$
    """,
    """
    CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON campaign_actions DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.effective_at > NEW.at) EXECUTE FUNCTION take_an_hour()
    """,
)
FAST = ("DROP TRIGGER slow ON campaign_actions", "DROP FUNCTION take_an_hour")


@pytest.fixture
async def services(own_database: Settings, valkey: Redis) -> AsyncIterator[Services]:
    """A process whose database may be made slow, with a member."""
    async with services_with_tiers(own_database, clock=StoppedClock(NOON)) as opened:
        await join(opened, "m-1")
        yield opened
        await assert_audit_is_clean(opened)


async def run(services: Services, *statements: str) -> None:
    async with transaction(services.db) as conn:
        for statement in statements:
            await conn.execute(text(statement))


@asynccontextmanager
async def slow_commits(services: Services) -> AsyncIterator[None]:
    await run(services, *SLOW)
    yield
    await run(services, *FAST)


@asynccontextmanager
async def held_campaign(services: Services) -> AsyncIterator[None]:
    """Another operator is at work on the campaign, and does not come to an end."""
    async with transaction(services.db) as conn:
        await versions.lock(conn, KEY)
        yield


async def move(services: Services, kind: ActionKind) -> ActedVersion:
    return await act(services, KEY, kind, operator=operator("lead"))


async def move_in_any_time(services: Services, kind: ActionKind) -> ActedVersion:
    """The same on however slow a machine. The clock stands meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(act_module, "COMMITS_WITHIN", timedelta(minutes=1))
        return await move(services, kind)


@pytest.mark.usefixtures("real_time_limits")
@pytest.mark.parametrize("slow", [slow_commits, held_campaign])
@pytest.mark.parametrize("kind", EFFECTIVE)
async def test_an_action_that_is_late_is_not_done_and_can_be_repeated(
    services: Services, kind: ActionKind, slow: Slow
) -> None:
    campaign = msgspec.convert(document(boosts=[boost("fuel", add=3)]), Campaign)
    await create(services, campaign, operator=operator("author"))
    before: list[ActionKind] = ["submitted"]
    before += [] if kind == "approved" else ["approved", "paused"] if kind == "resumed" else ["approved"]
    for each in before:
        await move_in_any_time(services, each)
    async with slow(services):
        with pytest.raises(Unavailable):
            await move(services, kind)
    assert await done(services) == ["created", *before]
    at = advance(services, timedelta(minutes=1))
    await services.campaigns.refresh(services.db)
    await assert_pays(services, "approved" in before and "paused" not in before)
    assert await move_in_any_time(services, kind) == ActedVersion(DONE[kind], 1)
    assert await done(services) == ["created", *before, kind]
    effective = await rows(services.db, "SELECT max(effective_at) FROM campaign_actions")
    assert effective == [(at + DELAY,)], "the repeat is in force from its own time on"


async def done(services: Services) -> list[object]:
    """The actions that are stored, each with its entry of the audit log."""
    actions = await rows(services.db, "SELECT kind FROM campaign_actions ORDER BY number")
    log = "SELECT action FROM audit_log WHERE subject = 'campaign:double' ORDER BY seq"
    assert await rows(services.db, log) == actions
    return [kind for (kind,) in actions]


async def assert_pays(services: Services, paying: bool) -> None:
    """Record a tap, and look for the boost beside it."""
    await tap(services, "m-1")
    boosted = await rows(services.db, "SELECT points FROM credits WHERE campaign = 'double'")
    assert boosted == ([(3,)] if paying else [])


@given(later=st.timedeltas(timedelta(), timedelta(days=36_500)))
def test_whoever_decides_knows_an_action_by_the_time_it_is_effective(later: timedelta) -> None:
    """It commits and is read by everybody before, and takes less than two seconds."""
    at = NOON + later
    effective = effective_at(at)
    assert effective.microsecond == 0
    assert COMMITS_WITHIN + READ_WITHIN < DELAY <= effective - at < 2 * DELAY
