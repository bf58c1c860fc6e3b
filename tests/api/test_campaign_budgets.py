"""Budgets of campaigns over HTTP, with two processes of the API."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from engage.flows.campaigns.budgets import fold_returns, publish_alerts
from engage.settings import Settings
from tests.api.calling import Caller, Calling, calling, problem
from tests.api.test_campaigns import OTHER, act, put, written
from tests.support.clock import NOON, StoppedClock, advance

MEMBERS = 8

LOOK = {
    "id": "look",
    "title": "Look",
    "on": {"activity": "visit"},
    "limit": {"type": "per_window", "window": "day", "count": 1},
    "award": {"type": "fixed", "points": 7},
    "due": {"type": "after", "delay": "PT5M"},
}


@pytest.fixture
async def api(installed: Settings) -> AsyncIterator[Calling]:
    async with calling(installed, StoppedClock(NOON)) as opened:
        yield opened


@pytest.fixture
async def other(installed: Settings, api: Calling) -> AsyncIterator[Calling]:
    """A second process with the same servers and clock."""
    async with calling(installed, api.services.clock) as opened:
        yield opened


async def in_force(api: Calling, **changes: Any) -> str:
    """The path of a new campaign that is in force."""
    path = await written(api, **({"boosts": []} | changes))
    await act(api.operator, path, "submit")
    await act(api.approver, path, "approve")
    advance(api.services, timedelta(seconds=2))
    return path


async def visit(member: Caller) -> httpx.Response:
    return await member.post("/v1/visits", {"page": "news"})


async def test_a_rule_with_a_budget_pays_so_many_members_and_refuses_the_others(
    api: Calling, other: Calling
) -> None:
    names = [(await api.joined(program=OTHER, country="IN")).member_id for _ in range(MEMBERS)]
    path = await in_force(api, program=OTHER, rules=[LOOK], budget={"points": 7 * 3 + 6})
    members = [(api, other)[n % 2].member_of(OTHER, name) for n, name in enumerate(names)]
    answers = await asyncio.gather(*(visit(member) for member in members))
    assert sorted(answer.status_code for answer in answers) == [202] * 3 + [409] * (MEMBERS - 3)
    for answer in answers:
        if answer.status_code == 409:
            assert problem(answer, 409, "budget_exhausted")["campaign"] == path.rpartition("/")[2]
    report = (await api.operator.get(f"{path}/report")).json()
    assert (report["points_granted"], report["budget"]["points"]["left"]) == (21, 6)


async def test_a_campaign_that_was_never_approved_has_granted_nothing(api: Calling) -> None:
    path = await written(api, boosts=[], budget={"points": 10})
    report = await api.operator.get(f"{path}/report")
    assert report.status_code == 200
    assert (report.json()["points_granted"], report.json()["by_hour"]) == (0, [])
    assert report.json()["budget"] == {"points": None, "count": None, "alerts": []}


async def review(api: Calling, *, removed: bool = False) -> None:
    """Let a new member write a review, which the shop may remove."""
    member = await api.joined()
    sent = {"product_id": "p", "review_id": f"of-{member.member_id}"}
    assert (await member.post("/v1/reviews", sent)).status_code == 202
    if removed:
        event = api.event("review.removed", member, review_id=sent["review_id"])
        assert (await api.shop.post("/v1/shop/events", [event])).json()["refused"] == []


async def alerts(api: Calling, path: str) -> list[tuple[str, int, int]]:
    """(of, percent, total) of the alerts that the report shows"""
    report = (await api.operator.get(f"{path}/report")).json()
    return [(each["of"], each["percent"], each["total"]) for each in report["budget"]["alerts"]]


async def published(*processes: Calling) -> int:
    """Let processes publish alerts at once; how many they have published."""
    now = processes[0].services.clock.now()
    counts = await asyncio.gather(
        *(publish_alerts(each.services, now=now, on_time=True) for each in processes)
    )
    return sum(counts)


async def test_each_percentage_of_a_budget_is_an_alert_once(api: Calling, other: Calling) -> None:
    boosts = [{"id": "double", "rules": ["review"], "multiply": 2}]
    path = await in_force(api, boosts=boosts, budget={"points": 80})
    await published(api)  # What other tests have left.
    await review(api)
    assert await alerts(api, path) == []
    await review(api)
    assert await alerts(api, path) == [("points", 50, 80)]
    assert await published(api, other) == 1
    await review(other)
    await review(other, removed=True)
    reached = [("points", 50, 80), ("points", 80, 80), ("points", 100, 80)]
    assert sorted(await alerts(api, path)) == sorted(reached)
    assert await published(api, other) == 2
    # Points that came back are granted once more, and the same percentages are reached again.
    await fold_returns(api.services, now=api.services.clock.now(), on_time=True)
    assert (await api.operator.get(f"{path}/report")).json()["budget"]["points"] == {"total": 80, "left": 20}
    await review(api)
    assert (await api.operator.get(f"{path}/report")).json()["budget"]["points"] == {"total": 80, "left": 0}
    assert sorted(await alerts(other, path)) == sorted(reached)
    assert await published(api, other) == 0


async def test_an_alert_is_of_a_total(api: Calling) -> None:
    """A larger budget has percentages of its own."""
    boosts = [{"id": "double", "rules": ["review"], "multiply": 2}]
    path = await in_force(api, boosts=boosts, budget={"count": 1, "alerts": [100]})
    await review(api)
    await put(api, path, budget={"count": 2, "alerts": [100]})
    await act(api.operator, path, "submit")
    await act(api.approver, path, "approve")
    advance(api.services, timedelta(seconds=2))
    assert await alerts(api, path) == [("count", 100, 1)]
    await review(api)
    assert await alerts(api, path) == [("count", 100, 1), ("count", 100, 2)]
