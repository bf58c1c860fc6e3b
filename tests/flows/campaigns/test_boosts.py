"""Campaigns add credits beside those of activities, by what was in force at the time of each."""

import asyncio
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from engage.domain.activity import FuelTap
from engage.domain.campaigns.audience import is_held_out
from engage.domain.campaigns.definition import Campaign
from engage.flows.activities.activity import MemberActivity
from engage.flows.activities.record import record
from engage.runtime.services import Services
from tests.support.campaigns import act_on, approve, boost, document
from tests.support.clock import DAY, advance
from tests.support.database import rows
from tests.support.segments import put
from tests.support.tiers import (
    PROGRAM,
    join,
    paid,
    review,
    send,
    shown,
    stored_credits,
    tap,
)

FUEL = ("fuel", 3, "points", None)


def double(*rules: str, **fields: Any) -> dict[str, Any]:
    return document(boosts=[boost(*rules, multiply=2)], **fields)


async def test_a_campaign_adds_a_credit_of_its_own_beside_the_base(services: Services) -> None:
    await approve(services, double("fuel"))
    assert shown(await tap(services)) == [FUEL, ("fuel", 3, "points", "more")]
    (row,) = await rows(
        services.db,
        "SELECT b.source_key, b.campaign, b.boost, b.due_at = c.due_at, b.expires_at = c.expires_at,"
        " b.why -> 'trace' -> 0 ->> 0, CAST(b.why -> 'trace' -> 0 -> 1 ->> 'version' AS int)"
        " FROM credits b JOIN credits c USING (program_id, member_id, reference, rule_id)"
        " WHERE b.campaign IS NOT NULL AND c.campaign IS NULL"
        " UNION ALL"
        " SELECT b.source_key, b.campaign, b.boost, b.due_at = c.due_at, b.expires_at = c.expires_at,"
        " b.why -> 'trace' -> 0 ->> 0, CAST(b.why -> 'trace' -> 0 -> 1 ->> 'version' AS int)"
        " FROM credits b JOIN credits c ON c.source_key || '+double' = b.source_key",
    )
    assert tuple(row) == ("fuel:2026-11-21+double", "double", "more", True, True, "campaign_multiplies", 1)


async def test_boosts_of_levels_and_campaigns_stand_side_by_side(services: Services) -> None:
    await approve(services, double("fuel"))
    await send(services, paid(services, "o-1", 300_00))
    assert shown(await tap(services)) == [
        FUEL,
        ("fuel", 3, "points", "more"),
        ("fuel", 3, "points", "tier:gold"),
    ]


async def test_what_is_added_is_fixed_or_multiplied_and_rounded_down(services: Services) -> None:
    await approve(services, document("half", boosts=[boost("fuel", id_="half", multiply=1.5)]))
    await approve(services, document("five", boosts=[boost("fuel", id_="five", add=5)]))
    assert shown(await tap(services)) == [
        FUEL,
        ("fuel", 5, "points", "five"),
        ("fuel", 1, "points", "half"),
    ]


async def test_status_is_not_boosted(services: Services) -> None:
    await approve(services, double("review", "review_status"))
    assert [credit for credit in shown(await review(services, "r-1")) if credit[3]] == [
        ("review", 20, "points", "more")
    ]


async def test_each_follower_of_a_slot_is_boosted_by_its_own_name(services: Services) -> None:
    await approve(services, double("fuel_bonus"))
    await tap(services)
    advance(services, DAY)
    assert shown(await tap(services)) == [
        FUEL,
        ("fuel_bonus", 10, "points", None),
        ("fuel_bonus", 10, "points", "more"),
    ]


async def test_only_the_countries_of_the_audience_are_boosted(services: Services) -> None:
    await approve(services, double("fuel", audience={"countries": ["ES"]}))
    assert shown(await tap(services)) == [FUEL]


async def test_a_level_is_that_of_the_time_of_the_activity(services: Services, other: Services) -> None:
    await approve(services, double("fuel", audience={"tiers": ["fan"]}))
    for number in range(2):
        assert shown(await tap(services, f"m-{number + 1}")) == [FUEL]
    advance(services, DAY)
    # Ten status points, in one request with the tap that is later.
    for number in range(2):
        await review(services, f"r-{number}")
    assert shown(await tap(other))[1] == ("fuel", 3, "points", "more")
    assert shown(await tap(other, "m-2"))[0] == FUEL


async def test_the_first_order_and_the_time_since_the_last_one_count_until_the_activity(
    services: Services,
) -> None:
    await approve(services, double("fuel", audience={"first_order": True}))
    back = document("back", boosts=[boost("fuel", id_="back", add=7)], audience={"no_order_for": "P90D"})
    await approve(services, back)
    now = services.clock.now()
    await send(services, paid(services, "o-1", 1_00, at=now - timedelta(hours=1)))
    await send(services, paid(services, "o-2", 1_00, at=now - timedelta(days=100), member_id="m-2"))
    # A tap of before the payment, told after it.
    before = await tap(services, at=now - timedelta(hours=2))
    assert shown(before) == [FUEL, ("fuel", 7, "points", "back"), ("fuel", 3, "points", "more")]
    assert shown(await tap(services, "m-2")) == [FUEL, ("fuel", 7, "points", "back")]
    advance(services, DAY)
    assert [credit for credit in shown(await tap(services)) if credit[3]] == []


async def test_a_segment_is_that_of_the_time_of_the_activity(services: Services, other: Services) -> None:
    await approve(services, double("review", audience={"segments": ["loyal", "new"]}))
    first = await put(services, ["m-1"], "loyal", program=PROGRAM)
    second = await put(services, ["m-2"], "loyal", program=PROGRAM)
    boosted = {
        (member, at): any(c.boost for c in await review(other, f"r-{member}-{at}", member, at=at))
        for member in ("m-1", "m-2")
        for at in (first.since - timedelta(seconds=1), first.since, second.since)
    }
    assert [key for key, is_boosted in boosted.items() if is_boosted] == [
        ("m-1", first.since),
        ("m-2", second.since),
    ]


async def test_members_held_out_get_nothing_for_as_long_as_the_campaign_lasts(services: Services) -> None:
    campaign = double("review", holdout_percent=50)
    await approve(services, campaign)
    members = [f"h-{number}" for number in range(20)]
    got = {}
    for member in members:
        await join(services, member)
        taps = [await review(services, f"r-{number}", member) for number in range(2)]
        assert len({len(shown(credits)) for credits in taps}) == 1
        got[member] = len(taps[0]) > 2
    document_ = msgspec.convert(campaign, Campaign)
    assert got == {member: not is_held_out(document_, member) for member in members}
    assert len(set(got.values())) == 2


async def test_a_paused_campaign_pays_nothing_for_that_time_whenever_it_is_told(services: Services) -> None:
    campaign = double("review")
    await approve(services, campaign, at=services.clock.now() - 10 * DAY)
    paused = await act_on(services, campaign, "paused", at=services.clock.now() - 5 * DAY)
    resumed = await act_on(services, campaign, "resumed", at=services.clock.now() - 2 * DAY)
    await services.campaigns.refresh(services.db)
    second = timedelta(seconds=1)
    times = {
        "before": paused - second,
        "at its begin": paused,
        "the next day": paused + DAY,
        "at its end": resumed,
    }
    boosted = {name: any(c.boost for c in await review(services, name, at=at)) for name, at in times.items()}
    assert boosted == {"before": True, "at its begin": False, "the next day": False, "at its end": True}


async def test_a_version_counts_from_its_own_approval_on(services: Services) -> None:
    await approve(services, document(boosts=[boost("review", add=1)]), at=services.clock.now() - DAY)
    second = document(boosts=[boost("review", add=2)])
    await approve(services, second, version=2, at=services.clock.now())
    await services.campaigns.refresh(services.db)
    before = await review(services, "r-1")
    advance(services, timedelta(seconds=2))
    after = await review(services, "r-2")
    assert [credit.points for credit in (*before, *after) if credit.boost] == [1, 2]


async def test_an_approval_reaches_each_process_at_the_same_instant_and_never_the_past(
    services: Services, other: Services
) -> None:
    effective_in = timedelta(seconds=2)
    await tap(other, "m-2")  # It knows for a while that there is no campaign.
    await approve(services, double("review"), at=services.clock.now())
    assert [c for c in await review(other, "r-1") if c.boost] == []
    advance(services, effective_in)
    assert [c.points for c in await review(other, "r-2") if c.boost] == [20]
    assert [c.points for c in await review(services, "r-3") if c.boost] == [20]
    late = await review(other, "r-4", at=services.clock.now() - DAY)
    assert [c for c in late if c.boost] == []


async def test_an_activity_ahead_of_the_clock_is_judged_as_of_the_clock(services: Services) -> None:
    await approve(services, double("fuel", **{"from": "2026-11-21T18:00:00"}))  # Half an hour from now.
    assert shown(await tap(services, at=services.clock.now() + timedelta(hours=2))) == [FUEL]


async def test_registering_is_boosted_by_the_country_and_the_time_of_joining(services: Services) -> None:
    # The program of these tests pays nothing for it, so nothing is boosted, and nothing breaks.
    await approve(services, double("fuel", audience={"joined_after": "2026-11-21T00:00:00"}))
    await join(services, "new")
    assert len(await tap(services, "new")) == 2


async def test_twenty_taps_at_once_are_boosted_once(services: Services, other: Services) -> None:
    await approve(services, double("fuel"))
    named = MemberActivity(PROGRAM, "m-1", FuelTap(), services.clock.now())
    await asyncio.gather(*(record(process, [named]) for _ in range(10) for process in (services, other)))
    found = await stored_credits(services)
    assert sorted(key for key in found if key.startswith("fuel")) == [
        "fuel:2026-11-21",
        "fuel:2026-11-21+double",
    ]


@pytest.mark.parametrize("exclusive", [False, True])
async def test_campaigns_add_up_unless_one_keeps_the_others_off(services: Services, exclusive: bool) -> None:
    await approve(services, double("fuel", stacking={"exclusive": exclusive, "priority": 1}))
    await approve(services, document("five", boosts=[boost("fuel", id_="five", add=5)]))
    added = [] if exclusive else [("fuel", 5, "points", "five")]
    assert shown(await tap(services)) == [FUEL, *added, ("fuel", 3, "points", "more")]
