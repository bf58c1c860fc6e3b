"""The campaigns of a simulated member: prices of rewards, budgets, and definitions for some members."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engage import programs
from engage.domain.activity import Line, Order, Payment, Share
from engage.domain.campaigns.member_budgets import BudgetUse
from engage.domain.campaigns.simulated import GivenFacts, SimulatedCampaigns, as_published, simulate
from engage.domain.draws.definition import Post
from engage.domain.draws.simulated import SimulatedDraws
from engage.domain.earning.order_facts import Return
from engage.domain.games.simulated import SimulatedGames
from engage.domain.refusals import Code, Refusal
from engage.domain.rewards.simulated import SimulatedRewards
from engage.domain.simulation.member import SimulatedMember
from tests.domain.campaigns.campaigns import campaign

V2022 = programs.preset("eu-mi-points/2022")
AT = datetime(2022, 9, 21, 10, tzinfo=UTC)
DAY = timedelta(days=1)

DOUBLE = '[[boosts]]\nid = "double"\nrules = ["purchase", "share_link"]\nmultiply = 2\n'


def member(*texts: str | tuple[str, dict[str, Any]], **facts: Any) -> SimulatedMember:
    """A member in Spain under these campaigns, with 1,000 active points."""
    split = [text if isinstance(text, tuple) else (text, {}) for text in texts]
    published = [as_published(campaign(text, **changes)) for text, changes in split]
    made = simulate(V2022, "ES", published, GivenFacts(**facts))
    buy(made, "before", 100_000, AT - 2 * DAY)
    made.deliver("before", AT - 2 * DAY)
    made.advance(AT - DAY)
    return made


def buy(who: SimulatedMember, order_id: str, paid: int, at: datetime) -> list[tuple[str | None, int]]:
    """(campaign, points) of the credits of an order."""
    order = Order(
        order_id=order_id,
        channel="web",
        payment=Payment(method="card"),
        lines=[Line(line_id="1", product_id="p", paid=paid)],
        currency="EUR",
    )
    return [(each.campaign, each.points) for each in who.pay(order, at)]


def price(who: SimulatedMember, at: datetime) -> int:
    before = who.account.balance.active
    who.feature(SimulatedRewards).redeem("coupon_5", at)
    return before - who.account.balance.active


def offer(**fields: Any) -> dict[str, Any]:
    return {"offers": [{"reward": "coupon_5", **fields}]}


def test_the_lowest_price_of_those_in_force_counts() -> None:
    fifth, tenth = ("", offer(percent=20) | {"id": "fifth"}), ("", offer(percent=10) | {"id": "tenth"})
    assert price(member(tenth, fifth), AT) == 400
    assert price(member(tenth, fifth), AT - DAY) == 500
    fixed = ("", offer(points=111, stock=1))
    assert price(member(fixed, fifth), AT) == 111
    french = ("", offer(points=1) | {"audience": {"countries": ["FR"]}})
    assert price(member(french), AT) == 500


def test_an_order_is_paid_whole_or_not_at_all_by_a_rule_with_a_budget() -> None:
    rule = """
[[rules]]
id = "gift"
title = "Gift"
on = { activity = "order" }
limit = { type = "once_per", field = "order_id" }
award = { type = "per_spend", points = 1, step_minor = 100 }
due = { type = "on_delivery" }
"""
    who = member((rule, {"budget": {"points": 150}}))
    assert buy(who, "o-1", 10_000, AT) == [(None, 100), ("week", 100)]
    assert buy(who, "o-2", 6_000, AT) == [(None, 60)]
    who.deliver("o-2", AT)
    assert [each.credit.rule_id for each in who.standings("o-2")] == ["purchase"]
    assert buy(who, "o-3", 5_000, AT) == [(None, 50), ("week", 50)]


WHEEL = {
    "id": "wheel",
    "title": {"en": "Wheel"},
    "from": "2022-09-21T00:00:00",
    "until": "2022-09-26T00:00:00",
    "chances": {"count": 9, "window": "day"},
    "prizes": [
        {"id": "small", "title": {"en": "Small"}, "odds": "1/2", "stock": 9, "points": 10},
        {"id": "large", "title": {"en": "Large"}, "odds": "1/9", "stock": 9, "points": 30},
    ],
}


def test_a_play_is_refused_where_the_budget_has_not_the_largest_prize() -> None:
    who = member(("", {"games": [WHEEL], "budget": {"points": 45}}))
    games = who.feature(SimulatedGames)
    assert [credit.points for credit in games.play("wheel", "small", AT).credits] == [10]
    assert [credit.points for credit in games.play("wheel", "small", AT).credits] == [10]
    with pytest.raises(Refusal) as refused:
        games.play("wheel", "small", AT)
    assert refused.value.code == Code.BUDGET_EXHAUSTED


def test_an_offer_of_limited_stock_ends_with_it() -> None:
    who = member(("", offer(points=100, stock=2)))
    assert [price(who, AT + n * timedelta(hours=1)) for n in range(3)] == [100, 100, 500]


@pytest.mark.parametrize(
    ("budget", "granted"),
    [
        ({"points": 150}, [(100, 100), (100, 50), (100, 0)]),
        ({"points_per_member": 120}, [(100, 100), (100, 20), (100, 0)]),
        ({"count": 2}, [(100, 100), (100, 100), (100, 0)]),
        ({"per_device": 1}, [(100, 100), (100, 0), (100, 0)]),
        ({"points": 250, "points_per_member": 130, "count": 3}, [(100, 100), (100, 30), (100, 0)]),
    ],
)
def test_a_budget_is_used_to_its_last_point_and_never_exceeded(
    budget: dict[str, int], granted: list[tuple[int, int]]
) -> None:
    who = member((DOUBLE, {"budget": budget}))
    found = [buy(who, str(n), 10_000, AT + n * DAY) for n in range(3)]
    assert [(credits[0][1], sum(points for _, points in credits[1:])) for credits in found] == granted
    looks = who.feature(SimulatedCampaigns).looks
    cut = [(look.reason.value, look.applied) for look in looks if look.reason.value == "budget"]
    assert cut == [("budget", points > 0) for base, points in granted if points < base]


def test_what_is_taken_back_returns_to_the_budget() -> None:
    who = member((DOUBLE, {"budget": {"points": 100, "count": 1}}))
    assert buy(who, "a", 10_000, AT) == [(None, 100), ("week", 100)]
    assert buy(who, "b", 10_000, AT + timedelta(hours=1)) == [(None, 100)]
    who.give_back("a", Return("r"), AT + DAY)
    assert buy(who, "c", 10_000, AT + 2 * DAY) == [(None, 100), ("week", 100)]


def test_what_others_have_used_of_a_budget_is_given() -> None:
    used = {"week": BudgetUse(points=70)}
    who = member((DOUBLE, {"budget": {"points": 100}}), budgets=used)
    assert buy(who, "a", 10_000, AT) == [(None, 100), ("week", 30)]


DRAW = """
[[draws]]
id = "autumn"
title = { en = "Autumn" }
opens_at = 2022-09-01T00:00:00
closes_at = 2022-10-01T00:00:00
winners = 1
points = 10
"""


def enter(who: SimulatedMember, at: datetime) -> str:
    try:
        who.feature(SimulatedDraws).enter("autumn", Post(text="", visibility="public"), at)
    except Refusal as refusal:
        return str(refusal.code)
    return "entered"


def test_definitions_are_open_while_the_campaign_is_and_for_its_audience() -> None:
    times = [AT - DAY, AT, AT + 5 * DAY]
    assert [enter(member(DRAW), at) for at in times] == ["not_found", "entered", "not_found"]
    for_segment = (DRAW, {"audience": {"segments": ["vip"]}})
    assert enter(member(for_segment), AT) == "not_found"
    assert enter(member(for_segment, segments=frozenset({"vip"})), AT) == "entered"


def test_credits_of_definitions_name_the_campaign_that_pays_them() -> None:
    who = member(DRAW)
    assert enter(who, AT) == "entered"
    who.advance(AT + 700 * DAY)  # The first public round was in 2023.
    prize = next(each.new for each in who.account.credits.values() if each.new.rule_id == "draw:autumn")
    assert (prize.campaign, prize.points) == ("week", 10)
    assert not any(each.new.campaign for each in who.account.credits.values() if each.new is not prize)


def test_boosts_are_found_for_the_time_of_each_activity() -> None:
    who = member(DOUBLE)
    share = Share(kind="link", product_id="p")
    earned = [who.record(share, at) for at in (AT - DAY, AT, AT + 5 * DAY)]
    assert [[credit.boost for credit in credits] for credits in earned] == [[None], [None, "double"], [None]]
