"""Versions of a program with members begin in the future: the past does not change."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from engage.domain.refusals import Code, Refusal
from engage.flows.members.erase import erase_member
from engage.flows.members.register import MemberRegistration, admit
from engage.flows.programs.publish import publish
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.settings import Settings
from engage.store.members.members import add_member
from tests.support import orders
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import NOON
from tests.support.database import rows


def version(name: str, begins: str) -> str:
    return orders.DOCUMENT.replace('version = "1"', f'version = "{name}"').replace("2020-01-01", begins)


async def publish_at(services: Services, document: str, *, now: datetime = NOON) -> bool:
    _, new = await publish(services.db, document, source="test", operator="test", now=now)
    return new


async def refusal(services: Services, document: str, *, now: datetime = NOON) -> Refusal:
    with pytest.raises(Refusal) as refused:
        await publish_at(services, document, now=now)
    return refused.value


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
            services.db, document, source="test", operator="test", now=NOON, past_allowed=True
        )
        assert new


async def test_a_member_who_is_joining_counts(settings: Settings) -> None:
    async with orders.services_with_orders(settings) as services:
        registration = MemberRegistration(member_id="m-1", program=orders.PROGRAM, country="ES")
        async with transaction(services.db) as conn:
            await add_member(conn, admit(services, registration, now=NOON).member, now=NOON)
            publishing = asyncio.create_task(refusal(services, version("2", "2022-01-01")))
            while not await rows(services.db, "SELECT pid FROM pg_locks WHERE NOT granted"):
                assert not publishing.done()
        assert (await publishing).code is Code.IN_THE_PAST


async def test_of_two_versions_that_contradict_each_other_one_is_published(settings: Settings) -> None:
    async with orders.services_with_orders(settings) as services:
        documents = [version(name, "2027-01-01") for name in ("2", "3", "4")]
        answers = await asyncio.gather(
            *(publish_at(services, document) for document in documents), return_exceptions=True
        )
        codes = [answer.code for answer in answers if isinstance(answer, Refusal)]
        assert codes == [Code.VERSIONS_CONFLICT] * 2
