"""Home screens that are read together are those that each member would get alone."""

from collections.abc import AsyncIterator

import pytest

from engage.domain.activity import AnyActivity
from engage.domain.refusals import Code, Refusal
from engage.flows.activities.record import record
from engage.flows.members.merge import merge_members
from engage.flows.reads.home import HomeRequest, read_home, read_homes
from engage.flows.scheduled.settle import settle_due
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support import tiers
from tests.support.activities import FIRST, PROGRAM, SECOND, act, join, review, tap
from tests.support.clock import DAY, advance
from tests.support.programs import services_with

MEMBERS = {"spanish": "ES", "new": "ES", "british": "GB", "former": "ES"}


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with services_with(settings, FIRST, SECOND, tiers.DOCUMENT) as opened:
        for member, country in MEMBERS.items():
            await join(opened, member, country)
        await tiers.join(opened, "spanish")
        yield opened


async def do(services: Services, *activities: tuple[AnyActivity, str]) -> None:
    answers = await record(services, [act(services, *each) for each in activities])
    assert not [answer for answer in answers if isinstance(answer, Exception)]


async def test_each_request_gets_the_screen_that_it_would_get_alone(services: Services) -> None:
    await do(services, (tap(), "spanish"), (tap(), "british"))
    await tiers.send(services, tiers.paid(services, "o-1", 300_00, member_id="spanish"))
    await settle_due(services, now=advance(services, DAY))
    await do(services, (tap(), "spanish"), (review("p-1", "r-1"), "spanish"))
    await merge_members(services, PROGRAM, "former", into="spanish", reason="one person", operator="key-1")
    keys = [*((PROGRAM, member) for member in MEMBERS), (tiers.PROGRAM, "spanish")]
    requests = [HomeRequest(*key, language) for key in [*keys, keys[0]] for language in ("en", "fr")]
    together = await read_homes(services, requests)
    alone = [
        await read_home(services, each.program_id, each.member_id, language=each.language)
        for each in requests
    ]
    assert together == alone
    assert len({home.balance for home in alone}) == 4, "only the former member has what another one has"
    assert any(tier.level for home in alone for tier in home.tiers)


async def test_no_member_is_refused_for_another_who_is_unknown(services: Services) -> None:
    requests = [HomeRequest(PROGRAM, member, "en") for member in ("nobody", "new", "\x00", "british")]
    nobody, new, impossible, british = await read_homes(services, requests)
    assert isinstance(nobody, Refusal)
    assert isinstance(impossible, Refusal)
    assert (nobody.code, impossible.code) == (Code.UNKNOWN_MEMBER, Code.UNKNOWN_MEMBER)
    assert not isinstance(new, Refusal)
    assert not isinstance(british, Refusal)
    assert (new.member.member_id, british.member.member_id) == ("new", "british")
    assert (new.member.zone, british.member.zone) == ("Europe/Madrid", "Europe/London")


async def test_nobody_known_is_refused_to_each(services: Services) -> None:
    answers = await read_homes(
        services, [HomeRequest(PROGRAM, "nobody", "en"), HomeRequest("none", "new", "en")]
    )
    assert [answer.code for answer in answers if isinstance(answer, Refusal)] == [Code.UNKNOWN_MEMBER] * 2
