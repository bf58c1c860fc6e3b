"""Campaigns as members meet them: on the home screen, in answers to activities and in statements."""

from collections.abc import AsyncIterator

import pytest

from engage.flows.programs.publish import publish
from engage.settings import Settings
from tests.api.calling import Caller, Calling, calling
from tests.support.campaigns import approve, boost, document
from tests.support.clock import NOON, StoppedClock
from tests.support.tiers import DOCUMENT, PROGRAM

TITLE = {"en": "Double fuel", "de": "Doppelt tanken"}


@pytest.fixture(scope="module")
async def opened(installed: Settings) -> AsyncIterator[Calling]:
    async with calling(installed, StoppedClock(NOON)) as opened:
        await publish(
            opened.services.db, DOCUMENT, source="test", operator="test", clock=opened.services.clock
        )
        await opened.services.programs.refresh(opened.services.db)
        double = document(
            "double", title=TITLE, until="2026-11-23T00:00:00", boosts=[boost("fuel", multiply=2)]
        )
        await approve(opened.services, double)
        for name, audience in (("gold", {"tiers": ["gold"]}), ("blue", {"tiers": ["blue"]})):
            await approve(opened.services, document(name, audience=audience, holdout_percent=0))
        await approve(opened.services, document("elsewhere", audience={"countries": ["ES"]}))
        await approve(opened.services, document("later", **{"from": "2026-12-01T00:00:00"}))
        yield opened


async def joined(api: Calling) -> Caller:
    member = await api.joined(program=PROGRAM, country="IN")
    return api.member_of(PROGRAM, member.member_id)


async def test_the_home_screen_has_the_campaigns_that_are_for_the_member_now(opened: Calling) -> None:
    member = await joined(opened)
    home = await member.get("/v1/me", accept_language="de")
    assert home.json()["campaigns"] == [
        # Until midnight in India.
        {"id": "double", "title": "Doppelt tanken", "ends_at": "2026-11-22T18:30:00Z"},
        {"id": "blue", "title": "blue", "ends_at": "2026-12-31T18:30:00Z"},
    ]


async def test_a_credit_names_its_campaign_and_why_its_title(opened: Calling) -> None:
    member = await joined(opened)
    tapped = await member.post("/v1/fuel/taps", accept_language="de")
    base, added = tapped.json()["credits"]
    assert (base["campaign"], base["boost"]) == (None, None)
    assert (added["rule"], added["campaign"], added["boost"]) == ("fuel", "double", "more")
    assert "Doppelt tanken" in added["why"]["text"]
    (listed,) = [
        credit
        for credit in (await member.get("/v1/me/credits")).json()["items"]
        if credit["campaign"] is not None
    ]
    assert (listed["campaign"], listed["boost"], listed["source_key"]) == (
        "double",
        "more",
        "fuel:2026-11-21+double",
    )
    assert "Double fuel" in listed["why"]["text"]
    assert "Double fuel" in listed["why"]["trace"][0]["text"]
    assert listed["why"]["trace"][0]["facts"]["campaign"] == "double"
