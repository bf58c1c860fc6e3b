"""Dry runs: the credits of one activity, and why each campaign gave something or not."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engage import programs
from engage.domain.activity import (
    AppSignIn,
    FuelTap,
    Line,
    Order,
    Payment,
    Review,
    RuleActivity,
    Visit,
)
from engage.domain.campaigns.boosting import Look
from engage.domain.campaigns.dry_run import DryRun, dry_run
from engage.domain.campaigns.explanation import Considered, pauses
from engage.domain.campaigns.index import PublishedCampaign
from engage.domain.campaigns.lifecycle import Action, ActionKind, Interval, intervals
from engage.domain.campaigns.member_budgets import BudgetUse
from engage.domain.campaigns.simulated import GivenFacts, as_published, simulate
from engage.domain.program.parse import parse
from engage.domain.program.program import Program
from engage.domain.refusals import Code
from tests.domain.campaigns.campaigns import campaign
from tests.support.tiers import DOCUMENT

V2022 = programs.preset("eu-mi-points/2022")
AT = datetime(2022, 9, 21, 10, tzinfo=UTC)  # A Wednesday, noon in Madrid.

DOUBLE = """
[[boosts]]
id = "double"
rules = ["app_sign_in", "purchase"]
multiply = 2
"""


def run(
    *considered: Considered,
    activity: RuleActivity | None = None,
    at: datetime = AT,
    program: Program = V2022,
    country: str = "ES",
    **facts: Any,
) -> DryRun:
    published = [each.published for each in considered]
    member = simulate(program, country, published, GivenFacts(**facts))
    return dry_run(member, considered, activity or AppSignIn(), at)


def considered(text: str = DOUBLE, *times: Interval, **changes: Any) -> Considered:
    found = as_published(campaign(text, **changes))
    return Considered(PublishedCampaign(found.campaign, found.version, times or found.intervals))


def order(*products: str, channel: Any = "web", paid: int = 1050) -> Order:
    lines = [Line(line_id=str(n), product_id=product, paid=paid) for n, product in enumerate(products)]
    return Order(order_id="o", channel=channel, payment=Payment(method="card"), lines=lines, currency="EUR")


def reasons(looks: Sequence[Look]) -> list[tuple[str, str, str]]:
    return [(look.campaign, look.part, look.reason.value) for look in looks]


def credits(found: DryRun) -> list[tuple[str, str | None, str | None, int]]:
    return [(each.rule_id, each.campaign, each.boost, each.points) for each in found.credits]


def test_a_boost_that_applies_is_a_credit_of_its_own_and_says_so() -> None:
    found = run(considered())
    assert credits(found) == [("app_sign_in", None, None, 50), ("app_sign_in", "week", "double", 50)]
    assert {each.due_at for each in found.credits} == {AT + timedelta(minutes=5)}
    (look,) = found.trace
    assert (look.campaign, look.version, look.part, look.rule) == ("week", 1, "double", "app_sign_in")
    assert look.applied
    assert look.facts["points"] == 50


BEFORE, AFTER = AT - timedelta(days=9), AT + timedelta(days=9)
WITHOUT_DOUBLE = [("app_sign_in", None, None, 50)]

WHY_NOT: dict[str, tuple[dict[str, Any], dict[str, Any], str, dict[str, Any]]] = {
    "another country": ({"audience": {"countries": ["FR"]}}, {}, "country", {"country": "ES"}),
    "another segment": ({"audience": {"segments": ["vip"]}}, {}, "segment", {"segments": ["vip"]}),
    "joined too early": (
        {"audience": {"joined_after": "2022-09-01T00:00:00"}},
        {"joined_at": BEFORE - timedelta(days=60)},
        "joined",
        {"joined_at": BEFORE - timedelta(days=60)},
    ),
    "no first order": (
        {"audience": {"first_order": True}},
        {"last_order_at": BEFORE},
        "first_order",
        {"last_order_at": BEFORE},
    ),
    "ordered not long ago": (
        {"audience": {"no_order_for": "P10D"}},
        {"last_order_at": BEFORE},
        "recent_order",
        {"no_order_for": "P10D", "last_order_at": BEFORE},
    ),
    "held out": ({"holdout_percent": 50}, {"held_out": True}, "holdout", {"holdout_percent": 50}),
}


@pytest.mark.parametrize("name", WHY_NOT)
def test_a_campaign_that_is_for_others_says_why(name: str) -> None:
    changes, given, reason, facts = WHY_NOT[name]
    found = run(considered(DOUBLE, **changes), **given)
    assert credits(found) == WITHOUT_DOUBLE
    assert reasons(found.trace) == [("week", "audience", reason)]
    assert facts.items() <= found.trace[0].facts.items()
    assert not found.trace[0].applied


def test_a_campaign_that_is_not_in_force_says_when_it_is() -> None:
    found = run(considered(), at=AFTER)
    assert credits(found) == WITHOUT_DOUBLE
    (look,) = found.trace
    assert (look.part, look.reason.value) == ("campaign", "not_in_force")
    assert look.facts["until"] == datetime(2022, 9, 25, 22, tzinfo=UTC)
    later = run(considered(DOUBLE, Interval(1, AT + timedelta(seconds=1), None)))
    assert reasons(later.trace) == [("week", "campaign", "not_in_force")]
    assert later.trace[0].facts["approved"] == [{"from": AT + timedelta(seconds=1), "until": None}]


def test_a_paused_campaign_says_since_when() -> None:
    kinds: list[ActionKind] = ["created", "submitted", "approved", "paused", "resumed", "paused", "ended"]
    actions = [
        Action(number=n, kind=kind, version=1, at=at, effective_at=at, operator="o")
        for n, kind in enumerate(kinds, start=1)
        for at in [AT + timedelta(minutes=n)]
    ]
    found = as_published(campaign(DOUBLE))
    published = PublishedCampaign(found.campaign, 1, tuple(intervals(actions)))
    reason_at = {
        minute: run(Considered(published, pauses(actions)), at=AT + timedelta(minutes=minute))
        .trace[0]
        .reason.value
        for minute in (2, 3, 4, 5, 6, 7)
    }
    assert reason_at == {
        2: "not_in_force",
        3: "applied",
        4: "paused",
        5: "applied",
        6: "paused",
        7: "not_in_force",
    }
    paused = run(Considered(published, pauses(actions)), at=AT + timedelta(minutes=4)).trace[0]
    assert paused.facts == {
        "paused_at": AT + timedelta(minutes=4),
        "resumed_at": AT + timedelta(minutes=5),
    }


def test_a_boost_of_other_rules_says_which_the_activity_has() -> None:
    found = run(considered(), activity=FuelTap())
    assert credits(found) == [("fuel", None, None, 2)]
    (look,) = found.trace
    assert (look.part, look.reason.value, look.applied) == ("double", "rule", False)
    assert look.facts == {
        "activity": "fuel_tap",
        "rules": ["app_sign_in", "purchase"],
        "rules_of_activity": ["fuel", "fuel_streak"],
    }


BOOSTS = """
[[boosts]]
id = "weekend"
rules = ["purchase"]
multiply = 2
weekdays = ["sat", "sun"]

[[boosts]]
id = "evening"
rules = ["purchase"]
multiply = 2
hours = ["18:00", "02:00"]

[[boosts]]
id = "in_app"
rules = ["purchase"]
multiply = 2
channels = ["app"]

[[boosts]]
id = "bands"
rules = ["purchase"]
multiply = 2
products = ["band"]

[[boosts]]
id = "large"
rules = ["purchase"]
add = 5
min_amount_minor = 9999

[[boosts]]
id = "little"
rules = ["purchase"]
multiply = 1.01

[[boosts]]
id = "phones"
rules = ["purchase"]
multiply = 3
products = ["phone"]

[[boosts]]
id = "rest"
rules = ["purchase"]
multiply = 2
"""


def test_each_boost_of_an_order_says_what_stood_in_its_way() -> None:
    found = run(considered(BOOSTS), activity=order("phone", "case"))
    assert credits(found) == [("purchase", None, None, 21), ("purchase", "week", "phones", 21)]
    by_part = {look.part: look for look in found.trace}
    assert {part: look.reason.value for part, look in by_part.items()} == {
        "weekend": "weekday_or_hour",
        "evening": "weekday_or_hour",
        "in_app": "channel",
        "bands": "lines",
        "large": "amount",
        "little": "nothing_to_add",
        "phones": "applied",
        "rest": "other_boost",
    }
    assert by_part["evening"].facts["local_time"] == datetime(2022, 9, 21, 12)  # noqa: DTZ001
    assert by_part["in_app"].facts == {"channels": ["app"], "channel": "web"}
    assert by_part["bands"].facts == {"products": ["band"], "bought": ["case", "phone"]}
    assert by_part["large"].facts == {"min_amount_minor": 9999}
    assert by_part["rest"].facts == {"boost": "phones"}


def test_campaigns_that_stand_in_each_others_way_are_named() -> None:
    stacking = {"group": "double", "priority": 1}
    first = considered(DOUBLE, id="a", stacking=stacking)
    second = considered(DOUBLE, id="b", stacking={"group": "double"})
    capped = considered(DOUBLE, id="c", stacking={"max_multiplier": 2.5, "priority": -1})
    found = run(first, second, capped)
    assert credits(found) == [
        ("app_sign_in", None, None, 50),
        ("app_sign_in", "a", "double", 50),
        ("app_sign_in", "c", "double", 25),
    ]
    assert [(look.reason.value, look.applied) for look in found.trace] == [
        ("applied", True),
        ("group", False),
        ("capped", True),
    ]
    assert found.trace[1].facts["by"] == "a"
    alone = run(first, considered(DOUBLE, id="d", stacking={"exclusive": True, "priority": 2}))
    assert reasons(alone.trace) == [("a", "double", "exclusive"), ("d", "double", "applied")]


RULE = """
[[rules]]
id = "visit_stand"
title = "Visit the stand"
on = { activity = "visit", page = "stand" }
limit = { type = "once" }
award = { type = "fixed", points = 7 }
due = { type = "after", delay = "PT5M" }
"""


def test_own_rules_of_a_campaign_pay_in_its_name() -> None:
    found = run(considered(RULE), activity=Visit(page="stand"))
    assert credits(found) == [("visit_stand", "week", None, 7)]
    assert reasons(found.trace) == [("week", "visit_stand", "applied")]
    elsewhere = run(considered(RULE), activity=Visit(page="home"))
    assert elsewhere.refusal is not None
    assert elsewhere.refusal.code == "not_offered"
    assert reasons(elsewhere.trace) == [("week", "visit_stand", "rule")]
    assert run(considered(RULE), activity=Visit(page="stand"), at=AFTER).credits == []


OWN_RULE = """
[[rules]]
id = "week_visit"
title = "Visit"
on = { activity = "visit" }
limit = { type = "once" }
award = { type = "fixed", points = 30 }
due = { type = "after", delay = "PT5M" }
"""


@pytest.mark.parametrize(
    ("used", "reason"),
    [
        ({"points": 71}, "budget"),
        ({"count": 4}, "budget"),
        ({"member_points": 21}, "budget"),
        ({"device_count": 3}, "budget"),
        ({"points": 70, "count": 3, "member_points": 20, "device_count": 2}, "applied"),
    ],
)
def test_a_rule_that_a_budget_cannot_pay_says_so(used: dict[str, int], reason: str) -> None:
    budget = {"points": 100, "count": 4, "points_per_member": 50, "per_device": 3}
    found = run(
        considered(OWN_RULE, budget=budget),
        activity=Visit(page="p"),
        budgets={"week": BudgetUse(**used)},
    )
    assert ("week", "week_visit", reason) in reasons(found.trace)
    if reason == "budget":
        assert not found.credits
        assert found.refusal is not None
        assert (found.refusal.code, found.refusal.facts) == (Code.BUDGET_EXHAUSTED, {"campaign": "week"})
    else:
        assert ("week_visit", "week", None, 30) in credits(found)


def test_a_refused_activity_earns_nothing_and_the_boost_says_so() -> None:
    published = considered()
    member = simulate(V2022, "ES", [published.published], GivenFacts())
    member.limits.source_keys.add("app_sign_in")
    found = dry_run(member, [published], AppSignIn(), AT)
    assert found.credits == []
    assert reasons(found.trace) == [("week", "double", "limit")]
    assert found.trace[0].facts["code"] == "already_rewarded"


def test_a_campaign_without_boosts_and_rules_is_looked_at_too() -> None:
    assert reasons(run(considered("")).trace) == [("week", "campaign", "rule")]


def test_levels_are_given_and_boost_as_those_of_a_member_do() -> None:
    club = parse(DOCUMENT, source="club")
    text = '[[boosts]]\nid = "gold_only"\nrules = ["review"]\nadd = 3\n'
    for_gold = considered(text, program="club", audience={"tiers": ["gold"]})
    at = datetime(2022, 9, 22, tzinfo=UTC)
    review = Review(product_id="p", review_id="r")
    none = run(for_gold, program=club, country="IN", activity=review, at=at)
    assert reasons(none.trace) == [("week", "audience", "tier")]
    gold = run(for_gold, program=club, country="IN", activity=review, at=at, levels=frozenset({"gold"}))
    assert reasons(gold.trace) == [("week", "gold_only", "applied")]
    assert ("review", None, "tier:gold") in [each[:3] for each in credits(gold)]


def test_an_order_that_waits_to_be_one_of_the_first_shows_what_it_gets_then() -> None:
    tokens = programs.preset("in-mi-tokens")
    text = '[[boosts]]\nid = "double"\nrules = ["first_orders"]\nmultiply = 2\n'
    double = considered(text, program="in-mi-tokens")
    bought = Order(
        order_id="o",
        channel="web",
        payment=Payment(method="card"),
        lines=[Line(line_id="1", product_id="p", paid=100_000)],
        currency="INR",
    )
    found = run(double, program=tokens, country="IN", activity=bought)
    assert credits(found) == [("first_orders", None, None, 100), ("first_orders", "week", "double", 100)]
    assert [each.due_at for each in found.credits] == [None, None]
