"""Decisions look at the rules of their activity alone, however many others there are."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import get_args, get_type_hints

from engage.domain.accounts.expiry import Never
from engage.domain.activity import Activity, FuelTap, Line, Order, Payment, Review, Share, Visit
from engage.domain.earning.awards import EveryNthDay, Fixed
from engage.domain.earning.decide import decide
from engage.domain.earning.definition import Rule
from engage.domain.earning.due import After
from engage.domain.earning.index import RuleIndex, index_rules
from engage.domain.earning.limits import DailyStreak, Limit, OncePer, PerWindow, SameAs
from engage.domain.earning.on import ACTIVITY_FIELDS, On
from engage.domain.earning.orders import standing
from engage.domain.earning.slots import Grant, refused, wanted
from engage.domain.earning.terms import EarningTerms

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
MADRID = "Europe/Madrid"
CAMPAIGNS = 300


def rule(rule_id: str, on: On, limit: Limit, award: Fixed | EveryNthDay | None = None) -> Rule:
    award = award or Fixed(points=1)
    return Rule(id=rule_id, title=rule_id, on=on, limit=limit, award=award, due=After(delay=timedelta()))


OWN = [
    rule("fuel", On(activity="fuel_tap"), DailyStreak()),
    rule("bonus", On(activity="fuel_tap"), SameAs(rule="fuel"), EveryNthDay(points=50, days=7)),
    rule("any_share", On(activity="share"), PerWindow(count=3, window="day")),
    rule("link", On(activity="share", kind="link"), PerWindow(count=3, window="month")),
    rule("purchase", On(activity="order"), OncePer(field="order_id")),
]
CAMPAIGN_RULES = [
    rule(f"review_{n}", On(activity="review"), PerWindow(count=1, window="day")) for n in range(CAMPAIGNS)
]


class CountedRules(Mapping[str, Rule]):
    """Rules by id that count reads, and fail the test when they are looped over."""

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        self._rules = rules
        self.reads = 0

    def __getitem__(self, rule_id: str) -> Rule:
        self.reads += 1
        return self._rules[rule_id]

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("a decision loops over all rules")

    def __len__(self) -> int:
        return len(self._rules)


def terms_of(index: RuleIndex) -> tuple[EarningTerms, CountedRules]:
    counted = CountedRules(index.by_id)
    rules = RuleIndex(
        by_id=counted,
        by_activity=index.by_activity,
        followers=index.followers,
        streaks=index.streaks,
        windows=index.windows,
        first_orders=index.first_orders,
    )
    return EarningTerms(program="p", version="1", expiry=Never(), rules=rules), counted


def test_a_decision_looks_at_the_rules_of_its_activity_alone() -> None:
    terms, counted = terms_of(index_rules([*CAMPAIGN_RULES, *OWN]))
    (slot,) = wanted(terms, FuelTap(), at=AT, zone=MADRID)
    credits = decide(terms, FuelTap(), at=AT, zone=MADRID, grants=[Grant(slot, 7)])
    assert [credit.rule_id for credit in credits] == ["fuel", "bonus"]
    assert len(credits[0].why.trace) == 2
    assert refused(terms, slot).facts["rule"] == "fuel"
    assert counted.reads == 0
    line = Line(line_id="1", product_id="band", paid=1000)
    order = Order(order_id="o-1", channel="web", currency="EUR", payment=Payment(method="card"), lines=[line])
    (order_credit,) = standing(terms, order, at=AT, zone=MADRID)
    assert order_credit.credit.rule_id == "purchase"
    assert counted.reads == 1, "the rule of the one credit"


def test_rules_are_found_by_activity_and_kind_in_the_order_of_the_document() -> None:
    index = index_rules([*OWN, *CAMPAIGN_RULES])

    def ids(activity: Activity) -> list[str]:
        assert isinstance(activity, FuelTap | Share | Review | Visit)
        return [rule.id for rule in index.matching(activity)]

    assert ids(Share(kind="social", product_id="mi-10")) == ["any_share"]
    assert ids(Share(kind="link", product_id="mi-10")) == ["any_share", "link"]
    assert len(ids(Review(product_id="mi-10", review_id="r-1"))) == CAMPAIGNS
    assert index.about("share") == {"any_share", "link"}
    assert (index.leader("bonus").id, index.leader("fuel").id) == ("fuel", "fuel")
    assert [follower.id for follower in index.followers["fuel"]] == ["bonus"]
    assert list(index.windows)[:2] == ["any_share", "link"]


def test_a_visit_meets_the_rules_about_its_page_and_about_all_pages() -> None:
    once = PerWindow(count=1, window="day")
    about = {"offers": "offers", "any": None, "news": "news", "more_offers": "offers"}
    index = index_rules(rule(name, On(activity="visit", page=page), once) for name, page in about.items())

    def ids(page: str) -> list[str]:
        return [rule.id for rule in index.matching(Visit(page=page))]

    assert ids("offers") == ["offers", "any", "more_offers"]
    assert ids("news") == ["any", "news"]
    assert ids("imprint") == ["any"]
    assert index.about("visit") == about.keys()
    assert (
        index_rules([rule("offers", On(activity="visit", page="offers"), once)]).matching(Visit(page="news"))
        == ()
    )


def test_a_rule_can_be_about_every_activity() -> None:
    assert set(get_args(get_type_hints(On)["activity"])) == ACTIVITY_FIELDS.keys()
