"""Validation of boosts: each can add something to a credit of a rule."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from engage.domain.campaigns.definition import WEEKDAYS, Campaign, CampaignBoost, minutes_of
from engage.domain.document.errors import Problem, duplicate_names, duplicates, nearest, one_of, shown
from engage.domain.earning.awards import EveryNthDay, Fixed
from engage.domain.earning.definition import Rule
from engage.domain.earning.limits import FirstOrders
from engage.domain.earning.unit import POINTS
from engage.domain.program.program import Program

LISTS = ("rules", "products", "categories", "channels", "weekdays")
OF_ORDERS = ("products", "categories", "channels", "min_amount_minor")


def boost_problems(campaign: Campaign, beside: Sequence[Program]) -> Iterator[Problem]:
    """`beside` are the program versions that decide together with the campaign."""
    rules: dict[str, list[Rule]] = {}
    for rule in (*campaign.rules, *(rule for each in beside for rule in each.rules)):
        rules.setdefault(rule.id, []).append(rule)
    yield from duplicate_names([boost.id for boost in campaign.boosts], "boosts", "id")
    for n, boost in enumerate(campaign.boosts):
        path = f"boosts[{n}]"
        if (boost.multiply is None) == (boost.add is None):
            found = "neither" if boost.add is None else "both"
            yield Problem(path, "either multiply or add", found)
        for name in LISTS:
            yield from duplicates(getattr(boost, name) or [], f"{path}.{name}")
        yield from _rules(boost, path, rules)
        if campaign.budget is not None:
            yield from _first_orders(boost, path, rules)
        yield from _hours(boost, path)
        yield from _weekdays(boost, path, campaign)
        yield from _shadowed(boost, path, campaign.boosts[:n])


def _rules(boost: CampaignBoost, path: str, rules: Mapping[str, Sequence[Rule]]) -> Iterator[Problem]:
    """Rules that there are, whose points the boost can multiply or add to."""
    for n, rule_id in enumerate(boost.rules):
        field, known = f"{path}.rules[{n}]", rules.get(rule_id, ())
        if not known:
            yield Problem(field, "the id of a rule", shown(rule_id) + nearest(rule_id, rules))
        elif all(rule.unit != POINTS for rule in known):
            yield Problem(field, "a rule that pays points", f"{shown(rule_id)}, which pays {known[0].unit}")
        elif boost.is_about_orders and all(rule.on.activity != "order" for rule in known):
            given = one_of([name for name in OF_ORDERS if getattr(boost, name) is not None])
            expected = f"a rule about orders: others have no {given}"
            yield Problem(field, expected, f"{shown(rule_id)}, which is about {known[0].on.activity}")
        elif not any(_adds(boost, rule) for rule in known):
            found = f"{boost.multiply}, which adds less than one point to {shown(rule_id)}"
            yield Problem(f"{path}.multiply", "a number that adds at least one point", found)


def _first_orders(boost: CampaignBoost, path: str, rules: Mapping[str, Sequence[Rule]]) -> Iterator[Problem]:
    """Rules whose places pass from an order to another one: what a budget has paid for one is then paid to
    another, which nobody asks the budget for.
    """
    for n, rule_id in enumerate(boost.rules):
        if any(isinstance(rule.limit, FirstOrders) for rule in rules.get(rule_id, ())):
            expected = "a rule that is not about the first orders of a member, where there is a budget"
            yield Problem(f"{path}.rules[{n}]", expected, shown(rule_id))


def _adds(boost: CampaignBoost, rule: Rule) -> bool:
    """Tell whether a boost adds a whole point at least to what a rule pays each time."""
    if (
        boost.multiply is None
        or rule.on.activity == "order"
        or not isinstance(rule.award, Fixed | EveryNthDay)
    ):
        return True
    return boost.factor * rule.award.points >= 1


def _hours(boost: CampaignBoost, path: str) -> Iterator[Problem]:
    if boost.hours is None:
        return
    start, end = boost.hours
    if start == "24:00":
        yield Problem(f"{path}.hours[0]", "a time before the end of the day", shown(start))
    elif minutes_of(start) == minutes_of(end):
        yield Problem(f"{path}.hours[1]", f"another time than {start}", shown(end))


def _weekdays(boost: CampaignBoost, path: str, campaign: Campaign) -> Iterator[Problem]:
    """Weekdays of which the campaign has at least one."""
    start, end = campaign.from_, campaign.until
    one_clock = start.tzinfo is None and end.tzinfo is None
    if boost.weekdays is None or not one_clock or not timedelta() < end - start < timedelta(days=6):
        return
    last = end - timedelta(microseconds=1)
    days = [start.date() + timedelta(days=n) for n in range((last.date() - start.date()).days + 1)]
    names = [WEEKDAYS[day.weekday()] for day in days]
    if not set(names) & set(boost.weekdays):
        yield Problem(
            f"{path}.weekdays", f"a day of the campaign: {one_of(names)}", ", ".join(boost.weekdays)
        )


def _shadowed(boost: CampaignBoost, path: str, earlier: Sequence[CampaignBoost]) -> Iterator[Problem]:
    """An earlier boost that always applies comes first: one credit gets one boost of a campaign."""
    always = [
        other for other in earlier if not other.is_about_orders and not other.weekdays and not other.hours
    ]
    first = {rule_id: other.id for other in reversed(always) for rule_id in other.rules}
    if boost.rules and all(rule_id in first for rule_id in boost.rules):
        found = f"{one_of(dict.fromkeys(first[rule_id] for rule_id in boost.rules))}, which always applies"
        yield Problem(path, "no earlier boost that takes its rules", found)
