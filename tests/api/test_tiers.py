"""Levels over HTTP: on the home screen, for the shop and for operators; boosts in answers and statements."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from engage.flows.programs.publish import publish
from engage.settings import Settings
from tests.api.calling import Caller, Calling, calling, problem
from tests.support.clock import NOON, StoppedClock, advance, stopped_clock
from tests.support.tiers import DOCUMENT, PROGRAM

GOLD = {
    "group": "spend",
    "level": "gold",
    "title": "Gold",
    "value": 300_00,
    "next": None,
    "keeps_until": "2027-01-30T18:30:00Z",
}


@pytest.fixture(scope="module")
async def opened(installed: Settings) -> AsyncIterator[Calling]:
    async with calling(installed, StoppedClock(NOON)) as opened:
        plain = DOCUMENT[: DOCUMENT.index("[[tier_groups]]")].replace('id = "club"', 'id = "plain"')
        for document in (DOCUMENT, plain):
            await publish(
                opened.services.db, document, source="test", operator="test", clock=opened.services.clock
            )
        await opened.services.programs.refresh(opened.services.db)
        yield opened


@pytest.fixture
def api(opened: Calling) -> Calling:
    """The API, at NOON again."""
    stopped_clock(opened.services).at = NOON
    return opened


async def joined(api: Calling, program: str = PROGRAM) -> Caller:
    member = await api.joined(program=program, country="IN")
    return api.member_of(program, member.member_id)


def order(api: Calling, member: Caller, order_id: str, amount: int) -> dict[str, Any]:
    at = api.services.clock.now().isoformat()
    named = {"id": f"{member.member_id}-{order_id}", "time": at, "program": PROGRAM}
    line = {"line_id": "1", "product_id": "p", "paid": amount}
    data = {"order_id": f"{member.member_id}-{order_id}", "channel": "web", "payment": {"method": "card"}}
    return named | {
        "type": "order.paid",
        "member_id": member.member_id,
        "data": data | {"lines": [line], "currency": "INR"},
    }


async def buys(api: Calling, member: Caller, *orders: tuple[str, int]) -> None:
    events = [order(api, member, *each) for each in orders]
    answer = await api.shop.post("/v1/shop/events", events)
    assert answer.json()["refused"] == [], answer.text


async def test_the_home_screen_has_a_level_for_each_group(api: Calling) -> None:
    member = await joined(api)
    home = (await member.get("/v1/me")).json()
    assert home["tiers"] == [
        {
            "group": "spend",
            "level": "blue",
            "title": "Blue",
            "value": 0,
            "next": {"level": "silver", "missing": 100_00},
            "keeps_until": None,
        },
        {
            "group": "fans",
            "level": None,
            "title": None,
            "value": 0,
            "next": {"level": "fan", "missing": 10},
            "keeps_until": None,
        },
    ]
    assert home["tier"] == home["tiers"][0]
    await buys(api, member, ("o-1", 300_00))
    assert (await member.get("/v1/me")).json()["tier"] == GOLD
    silver = await joined(api)
    await buys(api, silver, ("o-1", 100_00))
    german = await silver.get("/v1/me", Accept_Language="de")
    assert german.json()["tier"]["title"] == "Silber"
    assert "accept-language" in german.headers["vary"].lower()


async def test_a_program_without_tiers_shows_none(api: Calling) -> None:
    home = (await (await joined(api, "plain")).get("/v1/me")).json()
    assert (home["tier"], home["tiers"]) == (None, [])


async def test_a_boost_is_in_the_answer_and_in_the_list_of_credits(api: Calling) -> None:
    member = await joined(api)
    await buys(api, member, ("o-1", 300_00), ("o-2", 500_00))
    tap = (await member.post("/v1/fuel/taps")).json()
    shown = [(c["rule"], c["points"], c["unit"], c["boost"]) for c in tap["credits"]]
    assert shown == [("fuel", 3, "points", None), ("fuel", 3, "points", "tier:gold")]
    assert tap["credits"][1]["why"]["text"].startswith("You fuelled up on 21 November 2026.")
    listed = {c["source_key"]: c for c in (await member.get("/v1/me/credits")).json()["items"]}
    key = f"order:{member.member_id}-o-2:purchase"
    base, boosted = listed[key], listed[f"{key}+tier:spend"]
    assert (base["boost"], boosted["boost"]) == (None, "tier:gold")
    assert (base["points"], boosted["points"], boosted["rule"]) == (500, 500, base["rule"])
    assert boosted["why"]["trace"][0]["facts"]["multiply"] == "2"
    status = listed[f"order:{member.member_id}-o-2:order_status"]
    assert (status["unit"], status["points"], status["expires_at"]) == ("status", 5, None)
    balance = (await member.get("/v1/me")).json()["balance"]
    assert balance["pending"] == 300 + 500 + 500 + 3 + 3


async def test_the_shop_sees_the_benefits_of_all_levels_together(api: Calling) -> None:
    member = await joined(api)
    await buys(api, member, ("o-1", 1000_00))
    path = f"/v1/shop/members/{member.member_id}/benefits?program={PROGRAM}"
    answer = (await api.shop.get(path)).json()
    assert answer["benefits"] == {
        "multiply": 2.0,
        "express_delivery": True,
        "early_access": "PT48H",
        "lounge": "north",
    }
    assert [(tier["group"], tier["level"]) for tier in answer["tiers"]] == [
        ("spend", "gold"),
        ("fans", "fan"),
    ]


async def test_operators_see_the_history_with_its_causes(api: Calling) -> None:
    member = await joined(api)
    await buys(api, member, ("o-1", 100_00), ("o-2", 200_00))
    advance(api.services, timedelta(days=100))
    answer = (await api.operator.get(f"/v1/admin/members/{member.member_id}/tiers?program={PROGRAM}")).json()
    assert answer["tiers"][0]["level"] == "blue"
    named = [(c["before"], c["level"], c["cause"]) for c in answer["history"] if c["group"] == "spend"]
    assert named == [
        ("blue", "silver", {"kind": "order", "id": f"{member.member_id}-o-1"}),
        ("silver", "gold", {"kind": "order", "id": f"{member.member_id}-o-2"}),
        ("gold", "blue", {"kind": "window_end"}),
    ]
    assert answer["history"][-1]["at"] == "2027-01-30T18:30:00Z"


@pytest.mark.parametrize("path", ["/v1/shop/members/{}/benefits", "/v1/admin/members/{}/tiers"])
async def test_who_is_unknown_has_no_levels(api: Calling, path: str) -> None:
    caller = api.shop if "shop" in path else api.operator
    problem(await caller.get(f"{path.format('nobody')}?program={PROGRAM}"), 404, "unknown_member")
    problem(await caller.get(f"{path.format('nobody')}?program=nowhere"), 404, "unknown_member")
    problem(await caller.get(f"{path.format('nobody')}?programme={PROGRAM}"), 400, "invalid_request")
    problem(await api.member_of(PROGRAM, "m").get(path.format("m")), 401, "unauthorized")
