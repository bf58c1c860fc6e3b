"""A backtest says what a draft would have changed in a past window, and changes nothing."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from engage.domain.backtests.result import AffectedMember, BacktestDay, DoubleDipping
from engage.domain.campaigns.audience import is_held_out
from engage.domain.campaigns.definition import Campaign
from engage.domain.money import Money
from engage.runtime.services import Services
from tests.support.backtests import backtest, done, start
from tests.support.campaigns import act_on, approve, boost, document
from tests.support.clock import DAY, advance
from tests.support.database import rows
from tests.support.tiers import join, paid, returned, review, send, tap


def double(*rules: str, **fields: Any) -> dict[str, Any]:
    return document(boosts=[boost(*rules, multiply=2)], **fields)


async def test_a_draft_is_tried_on_what_members_did(services: Services) -> None:
    await tap(services)
    advance(services, DAY)
    await tap(services, "m-2")
    await review(services, "r-1")
    found = await backtest(services, double("fuel"))
    # A tap is worth 3 points, a review 20; ten points are worth five paise.
    assert (found.activities, found.granted_points) == (3, 26)
    assert (found.would_points, found.difference_points) == (32, 6)
    assert (found.cost, found.costs) == (Money(3, "INR"), [Money(3, "INR")])
    assert (found.gaining, found.losing, found.unchanged) == (2, 0, 0)
    assert found.by_day == [
        BacktestDay(
            day=date(2026, 11, 21), activities=1, granted_points=3, would_points=6, difference_points=3
        ),
        BacktestDay(
            day=date(2026, 11, 22), activities=2, granted_points=23, would_points=26, difference_points=3
        ),
    ]
    assert found.most_affected == [
        AffectedMember(member_id="m-1", granted_points=23, would_points=26, difference_points=3),
        AffectedMember(member_id="m-2", granted_points=3, would_points=6, difference_points=3),
    ]
    assert (found.budget_hit_at, found.double_dipping, found.tried) == (None, [], "document")
    assert found.grantable_points == 6


async def test_nothing_is_written_but_the_result(services: Services) -> None:
    await tap(services)
    tables = ("credits", "entries", "lots", "balances", "outbox", "member_changes", "orders")
    before = {table: await rows(services.db, f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in tables}
    assert (await backtest(services, double("fuel"))).difference_points == 3
    after = {table: await rows(services.db, f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in tables}
    assert after == before


async def test_a_draft_takes_the_place_of_the_campaign_with_its_id(services: Services) -> None:
    await approve(services, double("fuel"))
    await tap(services)
    same = await backtest(services, double("fuel"))
    assert (same.granted_points, same.difference_points, same.unchanged) == (6, 0, 1)
    less = await backtest(services, document(boosts=[boost("fuel", add=1)]))
    assert (less.would_points, less.difference_points) == (4, -2)
    assert (less.losing, less.gaining, less.grantable_points) == (1, 0, 0)
    none = await backtest(services, document(boosts=[boost("review", add=1)]))
    assert none.difference_points == -3


async def test_others_are_taken_as_they_were_unless_the_draft_takes_from_them(services: Services) -> None:
    await approve(services, document("five", boosts=[boost("fuel", add=5)], stacking={"group": "g"}))
    await tap(services)
    beside = await backtest(services, double("fuel"))
    assert (beside.granted_points, beside.difference_points) == (8, 3)
    instead = await backtest(services, double("fuel", stacking={"group": "g", "priority": 1}))
    assert instead.difference_points == 3 - 5
    behind = await backtest(services, double("fuel", stacking={"group": "g", "priority": -1}))
    assert (behind.difference_points, behind.unchanged) == (0, 1)
    alone = await backtest(services, double("fuel", stacking={"exclusive": True, "priority": 1}))
    assert alone.difference_points == 3 - 5
    capped = await backtest(services, double("fuel", stacking={"max_multiplier": 3, "priority": 1}))
    # Three times the base: the draft's three points, and of the other's five the first three.
    assert capped.difference_points == 3 + 3 - 5


async def test_what_a_former_version_kept_from_others_is_theirs_without_it(services: Services) -> None:
    await approve(services, document("five", boosts=[boost("fuel", add=5)]))
    await approve(services, double("fuel", stacking={"exclusive": True, "priority": 1}))
    await tap(services)
    found = await backtest(services, double("fuel"))
    assert (found.granted_points, found.would_points) == (6, 11)
    assert found.double_dipping == [
        DoubleDipping(campaigns=["double", "five"], activities=1, members=1, points=8)
    ]


async def test_campaigns_that_boost_the_same_credits_are_named_in_pairs(services: Services) -> None:
    for name in ("a", "b"):
        await approve(services, document(name, boosts=[boost("fuel", "review", add=2)]))
    await tap(services)
    await tap(services, "m-2")
    await review(services, "r-1")
    found = await backtest(services, double("fuel"))
    assert found.double_dipping == [
        DoubleDipping(campaigns=["a", "b"], activities=3, members=2, points=12),
        DoubleDipping(campaigns=["a", "double"], activities=2, members=2, points=10),
        DoubleDipping(campaigns=["b", "double"], activities=2, members=2, points=10),
    ]


async def test_lines_of_orders_and_what_came_back_of_them_count(services: Services) -> None:
    await send(services, paid(services, "o-1", 1_00, 5_50))
    await send(services, returned(services, "o-1", "1"))
    found = await backtest(services, double("purchase"))
    # 6.50 are 6 points, and 6.5 once more are 6; of these 5.50 of 6.50 came back.
    assert (found.granted_points, found.difference_points) == (6, 6)
    assert found.grantable_points == 1
    large = boost("purchase", multiply=2, products=["p"], min_amount_minor=6_51)
    assert (await backtest(services, document(boosts=[large]))).difference_points == 0


async def test_the_audience_and_those_held_out_count(services: Services) -> None:
    for number in range(3, 23):
        await join(services, f"m-{number}")
        await tap(services, f"m-{number}")
    held = double("fuel", holdout_percent=50)
    found = await backtest(services, held)
    campaign = msgspec.convert(held, Campaign)
    out = sum(is_held_out(campaign, f"m-{number}") for number in range(3, 23))
    assert 0 < out < 20
    assert (found.gaining, found.unchanged) == (20 - out, out)
    nobody = await backtest(services, double("fuel", audience={"joined_before": "2026-01-01T00:00:00"}))
    assert (nobody.difference_points, nobody.unchanged) == (0, 20)


async def test_levels_and_orders_are_those_of_the_time_of_each_activity(services: Services) -> None:
    await tap(services)
    advance(services, DAY)
    await send(services, paid(services, "o-1", 300_00))
    advance(services, DAY)
    await tap(services)
    gold = await backtest(services, double("fuel", audience={"tiers": ["gold"]}))
    # The second tap has three points, and three more of the level; the draft adds three.
    assert gold.difference_points == 3
    first = await backtest(services, double("fuel", audience={"first_order": True}))
    assert (first.difference_points, first.by_day[0].difference_points) == (3, 3)
    idle = await backtest(services, double("fuel", audience={"no_order_for": "P1D"}))
    assert [day.difference_points for day in idle.by_day] == [3, 0, 3]


async def test_facts_are_those_that_were_known_when_an_activity_was_decided(services: Services) -> None:
    before = services.clock.now()
    await tap(services, at=advance(services, DAY))
    # Paid before the tap, and reported after it.
    advance(services, timedelta(seconds=1))
    await send(services, paid(services, "o-1", 300_00, at=before))
    first = double("fuel", audience={"first_order": True})
    assert (await backtest(services, first)).difference_points == 3
    gold = double("fuel", audience={"tiers": ["gold"]})
    assert (await backtest(services, gold)).difference_points == 0
    # An order does not lift itself, and lifts the next activity.
    lifted = double("purchase", audience={"tiers": ["gold"]})
    assert (await backtest(services, lifted)).difference_points == 0
    advance(services, DAY)
    await tap(services)
    assert (await backtest(services, first)).difference_points == 3
    assert (await backtest(services, gold)).difference_points == 3


async def test_a_document_counts_at_its_own_times_where_the_window_has_some(services: Services) -> None:
    await tap(services)
    advance(services, DAY)
    await tap(services)
    second = double("fuel") | {"from": "2026-11-22T00:00:00"}
    found = await backtest(services, second)
    assert (found.tried, found.difference_points) == ("document", 3)
    to_come = double("fuel") | {"from": "2027-01-01T00:00:00", "until": "2027-02-01T00:00:00"}
    found = await backtest(services, to_come)
    assert (found.tried, found.difference_points) == ("window", 6)


async def test_only_activities_of_the_window_count(services: Services) -> None:
    start_at = services.clock.now()
    await tap(services)
    advance(services, DAY)
    await tap(services)
    found = await backtest(services, double("fuel"), begin=start_at + timedelta(seconds=1))
    assert (found.activities, found.difference_points) == (1, 3)
    found = await backtest(services, double("fuel"), until=services.clock.now() - timedelta(seconds=1))
    assert (found.activities, found.difference_points) == (1, 3)
    empty = await backtest(services, double("fuel"), until=start_at)
    assert (empty.activities, empty.by_day, empty.unchanged, empty.cost) == (0, [], 0, Money(0, "INR"))
    huge = await backtest(services, double("fuel"), begin=datetime(2000, 1, 1, tzinfo=UTC))
    assert (huge.activities, len(huge.by_day)) == (2, 2)


async def test_a_budget_is_used_up_in_the_order_in_which_credits_were_accepted(services: Services) -> None:
    for number in range(3, 9):
        await join(services, f"m-{number}")
        advance(services, timedelta(minutes=1))
        await tap(services, f"m-{number}")
    at = services.clock.now()
    found = await backtest(services, double("fuel", budget={"points": 10}))
    assert (found.difference_points, found.gaining, found.unchanged) == (10, 4, 2)
    assert found.budget_hit_at == at - timedelta(minutes=2)
    assert found.grantable_points == 10
    counted = await backtest(services, double("fuel", budget={"count": 2}))
    assert (counted.difference_points, counted.budget_hit_at) == (6, at - timedelta(minutes=4))
    enough = await backtest(services, double("fuel", budget={"points": 19}))
    assert (enough.difference_points, enough.budget_hit_at) == (18, None)
    advance(services, 2 * DAY)
    await tap(services, "m-3")
    advance(services, DAY)
    await tap(services, "m-3")
    device = await backtest(services, double("fuel", budget={"per_device": 2}), begin=at - DAY)
    assert (device.difference_points, device.gaining) == (18 + 3, 6)
    each = await backtest(services, double("fuel", budget={"points_per_member": 2}), until=at + DAY)
    assert (each.difference_points, each.budget_hit_at) == (12, None)


async def test_what_a_campaign_granted_before_the_window_is_used_of_its_budget(services: Services) -> None:
    limited = double("fuel", budget={"points": 4, "points_per_member": 4})
    await approve(services, double("fuel"))
    await tap(services)
    advance(services, DAY)
    begin = services.clock.now()
    await tap(services)
    await tap(services, "m-2")
    found = await backtest(services, limited, begin=begin)
    # Of four points three were granted before, and six in the window, where a second day pays ten.
    assert (found.difference_points, found.would_points) == (1 - 6, 6 + 10 + 1)
    each = await backtest(services, double("fuel", budget={"points_per_member": 5}), begin=begin)
    assert each.difference_points == -1


async def test_a_paused_campaign_is_taken_as_it_was(services: Services) -> None:
    now = services.clock.now()
    await approve(services, document("five", boosts=[boost("fuel", add=5)], stacking={"group": "g"}))
    await act_on(services, document("five"), "paused", at=now - timedelta(hours=2))
    await act_on(services, document("five"), "resumed", at=now - timedelta(hours=1))
    await services.campaigns.refresh(services.db)
    await tap(services, at=now - timedelta(minutes=90))
    await tap(services, "m-2")
    found = await backtest(services, double("fuel", stacking={"group": "g", "priority": -1}))
    # While the other one was paused, the draft is the only one of the group.
    assert (found.granted_points, found.difference_points) == (3 + 3 + 5, 3)


async def test_a_list_and_a_result_are_kept(services: Services) -> None:
    await tap(services)
    id_ = await start(services, double("fuel"))
    first = await done(services, id_)
    advance(services, 100 * DAY)
    assert (await done(services, id_)) == first
