"""Versions of a program with members begin in the future: the past does not change."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from engage.domain.refusals import Code, Refusal, Unavailable
from engage.flows.members.erase import erase_member
from engage.flows.members.register import MemberRegistration, admit
from engage.flows.programs.publish import publish
from engage.runtime.database import transaction
from engage.runtime.program_cache import COMMITTED_WITHIN, KNOWN_FOR, PUBLISHED_AHEAD
from engage.runtime.services import Services
from engage.settings import Settings
from engage.store import programs as store
from engage.store.members.members import add_member
from tests.support import orders
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import NOON, StoppedClock
from tests.support.database import rows


def version(name: str, begins: str) -> str:
    return orders.DOCUMENT.replace('version = "1"', f'version = "{name}"').replace("2020-01-01", begins)


async def publish_at(services: Services, document: str, *, now: datetime = NOON) -> bool:
    _, new = await publish(services.db, document, source="test", operator="test", clock=StoppedClock(now))
    return new


async def refusal(services: Services, document: str, *, now: datetime = NOON) -> Refusal:
    with pytest.raises(Refusal) as refused:
        await publish_at(services, document, now=now)
    return refused.value


@asynccontextmanager
async def another_publisher(services: Services) -> AsyncIterator[None]:
    """Publish something else meanwhile, and take long."""
    async with transaction(services.db) as conn:
        await store.lock(conn)
        yield


async def waiting(services: Services, publishing: asyncio.Task[Any]) -> None:
    while not await rows(services.db, "SELECT pid FROM pg_locks WHERE NOT granted"):
        assert not publishing.done()


@pytest.mark.parametrize("begins", ["2019-12-31", "2021-01-01", "2026-11-20", "2026-11-21"])
async def test_a_version_cannot_begin_in_the_past_of_members(settings: Settings, begins: str) -> None:
    async with orders.services_with_orders(settings) as services:
        await orders.join(services)
        await erase_member(services, orders.PROGRAM, "m-1", operator="key-1")
        found = await refusal(services, version("2", begins))
        assert (found.code, found.status) == (Code.IN_THE_PAST, 409)
        assert found.facts == {"in_force_from": begins, "earliest": "2026-11-22"}
        assert await rows(services.db, "SELECT version FROM program_versions") == [("1",)]
        assert await publish_at(services, version("2", "2026-11-22"))
        await assert_audit_is_clean(services)


async def test_a_version_begins_when_every_process_knows_it(settings: Settings) -> None:
    """Madrid is an hour ahead of London: the day must lie ahead in both."""
    async with orders.services_with_orders(settings) as services:
        await orders.join(services)
        midnight_in_madrid = datetime(2026, 11, 21, 23, tzinfo=UTC)
        for before, earliest in (
            (timedelta(minutes=1, microseconds=1), "2026-11-22"),
            (timedelta(minutes=1), "2026-11-23"),
            (timedelta(), "2026-11-23"),
        ):
            found = await refusal(services, version("2", "2026-11-21"), now=midnight_in_madrid - before)
            assert found.facts["earliest"] == earliest


async def test_an_empty_program_may_begin_in_the_past(settings: Settings) -> None:
    async with orders.services_with_orders(settings) as services:
        assert await publish_at(services, version("2", "2022-01-01"))
        await orders.join(services)
        assert not await publish_at(services, version("2", "2022-01-01")), "the same again changes nothing"
        await assert_audit_is_clean(services)


async def test_in_a_sandbox_a_version_may_begin_in_the_past(settings: Settings) -> None:
    async with orders.services_with_orders(settings) as services:
        await orders.join(services)
        document = version("2", "2022-01-01")
        _, new = await publish(
            services.db, document, source="test", operator="test", clock=services.clock, past_allowed=True
        )
        assert new


async def test_a_member_who_is_joining_counts(settings: Settings) -> None:
    async with orders.services_with_orders(settings) as services:
        registration = MemberRegistration(member_id="m-1", program=orders.PROGRAM, country="ES")
        async with transaction(services.db) as conn:
            await add_member(conn, admit(services, registration, now=NOON).member, now=NOON)
            publishing = asyncio.create_task(refusal(services, version("2", "2022-01-01")))
            await waiting(services, publishing)
        assert (await publishing).code is Code.IN_THE_PAST


async def test_of_two_versions_that_contradict_each_other_one_is_published(settings: Settings) -> None:
    async with orders.services_with_orders(settings) as services:
        documents = [version(name, "2027-01-01") for name in ("2", "3", "4")]
        answers = await asyncio.gather(
            *(publish_at(services, document) for document in documents), return_exceptions=True
        )
        codes = [answer.code for answer in answers if isinstance(answer, Refusal)]
        assert codes == [Code.VERSIONS_CONFLICT] * 2


async def test_who_waits_for_another_publisher_is_judged_by_the_time_afterwards(settings: Settings) -> None:
    async with orders.services_with_orders(settings) as services:
        await orders.join(services)
        clock = StoppedClock(NOON)
        async with another_publisher(services):
            publishing = asyncio.create_task(
                publish(services.db, version("2", "2026-11-22"), source="test", operator="test", clock=clock)
            )
            await waiting(services, publishing)
            clock.advance(timedelta(hours=13))
        with pytest.raises(Refusal) as refused:
            await publishing
        assert (refused.value.code, refused.value.facts["earliest"]) == (Code.IN_THE_PAST, "2026-11-23")
        assert await rows(services.db, "SELECT version FROM program_versions") == [("1",)]


async def test_who_takes_too_long_to_publish_has_published_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been suspended. Its version could begin before every process knows it."""
    async with orders.services_with_orders(settings) as services:
        monkeypatch.setattr("engage.flows.programs.publish.COMMITTED_WITHIN", timedelta(milliseconds=100))
        async with another_publisher(services):
            with pytest.raises(Unavailable):
                await publish_at(services, version("2", "2026-11-22"))
        assert await rows(services.db, "SELECT version FROM program_versions") == [("1",)]
        monkeypatch.undo()
        assert await publish_at(services, version("2", "2026-11-22")), "the lock is free again"


def test_a_version_begins_after_it_is_committed_and_known() -> None:
    assert COMMITTED_WITHIN + KNOWN_FOR < PUBLISHED_AHEAD


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE program_versions SET document = 'another'",
        "UPDATE program_versions SET in_force_from = '2019-01-01'",
        "DELETE FROM program_versions WHERE version = '1'",
        "TRUNCATE program_versions",
    ],
)
async def test_the_database_refuses_to_change_a_published_version(settings: Settings, change: str) -> None:
    async with orders.services_with_orders(settings) as services:
        with pytest.raises(IntegrityError, match="program_versions is only added to"):
            async with services.db.begin() as conn:
                await conn.execute(text(change))
