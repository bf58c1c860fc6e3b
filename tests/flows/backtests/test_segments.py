"""Backtests of campaigns for segments: each activity is judged by the list or the conditions of its time."""

from datetime import datetime
from typing import Any, Final

import pytest

from engage.runtime.services import Services
from tests.flows.campaigns.test_rules import rule
from tests.support.backtests import backtest
from tests.support.campaigns import approve, boost, document
from tests.support.clock import DAY, advance
from tests.support.segments import define, put
from tests.support.tiers import PROGRAM, paid, review, send

EXTRA: Final = rule("extra", "review", {"type": "per_window", "window": "day", "count": 9})


def draft(**fields: Any) -> dict[str, Any]:
    changes = {"audience": {"segments": ["loyal"]}, "boosts": [boost("review", multiply=2)]} | fields
    return document("loyals", **changes)


async def write_reviews(services: Services, name: str, at: datetime | None = None) -> None:
    for member in ("m-1", "m-2"):
        await review(services, f"{name}-{member}", member, at)


async def history(services: Services, kind: str) -> None:
    """Reviews before m-1 is in the segment, while, and afterwards; one of the time before is late."""
    began = services.clock.now()
    await write_reviews(services, "before")
    await send(services, paid(services, "o-1", 300_00))
    advance(services, DAY)
    if kind == "list":
        await put(services, ["m-1"], "loyal", program=PROGRAM)
    else:
        await define(services, {"tiers": ["gold"]}, "loyal", program=PROGRAM)
    await write_reviews(services, "while")
    await write_reviews(services, "late", began)
    advance(services, DAY)
    await put(services, ["m-2"], "loyal", program=PROGRAM)
    await write_reviews(services, "after")
    advance(services, DAY)


@pytest.mark.parametrize("kind", ["list", "computed"])
async def test_a_draft_is_tried_on_who_was_in_the_segment(services: Services, kind: str) -> None:
    await history(services, kind)
    found = await backtest(services, draft())
    assert (found.difference_points, found.gaining, found.losing) == (40, 2, 0)
    assert {each.member_id: each.difference_points for each in found.most_affected} == {"m-1": 20, "m-2": 20}
    assert [day.difference_points for day in found.by_day if day.activities] == [0, 20, 20]
    nobody = await backtest(services, draft(audience={"segments": ["loyal"], "tiers": ["silver"]}))
    assert nobody.difference_points == 0


@pytest.mark.parametrize("kind", ["list", "computed"])
async def test_a_backtest_of_what_was_in_force_changes_nothing(services: Services, kind: str) -> None:
    campaign = draft(rules=[EXTRA])
    await approve(services, campaign)
    await history(services, kind)
    same = await backtest(services, campaign)
    assert (same.difference_points, same.gaining, same.losing) == (0, 0, 0)
    assert same.granted_points == same.would_points
    without = await backtest(services, draft(boosts=[], rules=[EXTRA]))
    assert (without.difference_points, without.losing) == (-40, 2)
