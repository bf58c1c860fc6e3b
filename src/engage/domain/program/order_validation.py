"""What makes a rule wrong that is about orders, or that only a rule about orders could keep."""

from collections.abc import Iterator
from itertools import pairwise

from engage.domain.document.errors import Problem, shown
from engage.domain.document.order_scope import OrderScope, scope_problems
from engage.domain.earning.rules import Brackets, EveryNthDay, OncePer, OnDelivery, PerSpend, Rule, TagPoints


def order_problems(rule: Rule, path: str) -> Iterator[Problem]:
    if rule.on.activity == "order":
        yield from _of_orders(rule, path)
    else:
        yield from _of_others(rule, path)
    if isinstance(rule.award, Brackets):
        yield from _brackets(rule.award, f"{path}.award.brackets")
    yield from scope_problems(rule.orders, f"{path}.orders")


def _of_orders(rule: Rule, path: str) -> Iterator[Problem]:
    if not isinstance(rule.limit, OncePer):
        expected = 'once_per, with field = "order_id": each order pays once'
        yield Problem(f"{path}.limit.type", expected, shown(rule.limit.__struct_config__.tag))
    if isinstance(rule.award, EveryNthDay):
        yield Problem(f"{path}.award.type", "an award for orders: they have no streak", '"every_nth_day"')


def _of_others(rule: Rule, path: str) -> Iterator[Problem]:
    about = rule.on.activity
    if isinstance(rule.award, PerSpend | TagPoints | Brackets):
        found = shown(rule.award.__struct_config__.tag)
        yield Problem(f"{path}.award.type", f"fixed or every_nth_day: a {about} has no amount", found)
    if isinstance(rule.due, OnDelivery):
        yield Problem(f"{path}.due.type", f"after or next_day: a {about} is not delivered", '"on_delivery"')
    if rule.orders != OrderScope():
        yield Problem(f"{path}.orders", f"none: this rule is about {about}", "a table")


def _brackets(award: Brackets, path: str) -> Iterator[Problem]:
    for n, (lower, higher) in enumerate(pairwise(award.brackets), start=1):
        for name in ("from_minor", "points"):
            least, found = getattr(lower, name), getattr(higher, name)
            if found <= least:
                expected = f"more than the {least} of the bracket before it"
                yield Problem(f"{path}[{n}].{name}", expected, str(found))


def pays_by_itself(rule: Rule, earlier: Rule) -> bool:
    """Whether two rules about orders differ in which of them they are about, or in what they pay."""
    return (rule.orders, rule.award) != (earlier.orders, earlier.award)
