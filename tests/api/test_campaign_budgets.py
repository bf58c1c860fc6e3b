"""Budgets of campaigns over HTTP, with two processes of the API."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from engage.settings import Settings
from tests.api.calling import Caller, Calling, calling, problem
from tests.api.test_campaigns import OTHER, act, written
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
    path = await written(api, boosts=[], **changes)
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
