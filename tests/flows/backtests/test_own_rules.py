"""Rules of a draft's own in a backtest: they pay within their limits, and in the place of former ones."""

from datetime import timedelta
from typing import Any

from engage.runtime.services import Services
from tests.support.backtests import backtest
from tests.support.campaigns import approve, boost, document
from tests.support.clock import DAY, advance
from tests.support.tiers import join, paid, returned, review, send, tap

FIXED = {"type": "fixed", "points": 7}
PER_SPEND = {"type": "per_spend", "points": 1, "step_minor": 200}
ONCE = {"type": "once"}
ONCE_A_DAY = {"type": "per_window", "window": "day", "count": 1}
PER_ORDER = {"type": "once_per", "field": "order_id"}


def rule(id_: str, activity: str, limit: dict[str, Any], award: dict[str, Any]) -> dict[str, Any]:
    due = {"type": "on_delivery"} if activity == "order" else {"type": "after", "delay": "PT5M"}
    return {
        "id": id_,
        "title": id_,
        "on": {"activity": activity},
        "limit": limit,
        "award": award,
        "due": due,
    }


def paying(*rules: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return document(rules=list(rules), **fields)


GIFT = rule("gift", "fuel_tap", ONCE_A_DAY, FIXED)


async def test_own_rules_pay_for_what_members_did(services: Services) -> None:
    await tap(services)
    advance(services, DAY)
    await tap(services)
    await review(services, "r-1", "m-2")
    found = await backtest(services, paying(GIFT))
    assert (found.activities, found.difference_points, found.gaining, found.unchanged) == (3, 14, 1, 1)
    assert (found.grantable_points, [day.difference_points for day in found.by_day]) == (14, [7, 7])
    once = await backtest(services, paying(rule("gift", "fuel_tap", ONCE, FIXED)))
    assert once.difference_points == 7
    nothing = await backtest(services, paying(rule("gift", "share", ONCE_A_DAY, FIXED)))
    assert nothing.difference_points == 0


async def test_own_rules_pay_the_audience_while_the_campaign_is(services: Services) -> None:
    await tap(services)
    advance(services, DAY)
    await send(services, paid(services, "o-1", 300_00))
    advance(services, DAY)
    await tap(services)
    gold = await backtest(services, paying(GIFT, audience={"tiers": ["gold"]}))
    assert [day.difference_points for day in gold.by_day] == [0, 0, 7]
    later = await backtest(services, paying(GIFT) | {"from": "2026-11-23T00:00:00"})
    assert (later.tried, later.difference_points) == ("document", 7)


async def test_own_rules_pay_orders_and_lose_with_their_returns(services: Services) -> None:
    bonus = paying(rule("bonus", "order", PER_ORDER, PER_SPEND))
    await send(services, paid(services, "o-1", 4_00, 6_00), paid(services, "o-2", 8_00))
    await send(services, returned(services, "o-1", "1"), returned(services, "o-2"))
    found = await backtest(services, bonus)
    # Five and four points; three of five came back, and all four.
    assert (found.difference_points, found.grantable_points) == (9, 2)


async def test_own_rules_are_boosted_by_the_draft(services: Services) -> None:
    await tap(services)
    draft = paying(GIFT, boosts=[boost("gift", "fuel", multiply=3)])
    assert (await backtest(services, draft)).difference_points == 7 + 14 + 6


async def test_a_budget_grants_a_credit_of_an_own_rule_whole_or_not_at_all(services: Services) -> None:
    for number in range(3, 6):
        await join(services, f"m-{number}")
        advance(services, timedelta(minutes=1))
        await tap(services, f"m-{number}")
    found = await backtest(services, paying(GIFT, budget={"points": 20}))
    assert (found.difference_points, found.gaining) == (14, 2)
    each = await backtest(services, paying(GIFT, budget={"points_per_member": 6}))
    assert each.difference_points == 0


async def test_a_campaign_that_has_paid_is_tried_as_it_was_and_with_other_rules(services: Services) -> None:
    bonus = rule("bonus", "order", PER_ORDER, PER_SPEND)
    live = paying(GIFT, bonus, boosts=[boost("gift", multiply=2)])
    await approve(services, live)
    await tap(services)
    await send(services, paid(services, "o-1", 4_00, 6_00, member_id="m-2"))
    await send(services, returned(services, "o-1", "1", member_id="m-2"))
    same = await backtest(services, live)
    assert (same.granted_points, same.difference_points) == (3 + 7 + 7 + 10 + 5, 0)
    assert (same.unchanged, same.grantable_points) == (2, 0)
    without = await backtest(services, paying(bonus))
    assert (without.difference_points, without.losing) == (-14, 1)
    more = await backtest(
        services, paying(rule("gift", "fuel_tap", ONCE_A_DAY, FIXED | {"points": 9}), bonus)
    )
    assert more.difference_points == 9 - 14
