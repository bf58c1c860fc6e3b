"""The base credits that boosts are beside, with what a boost of a part of an order needs to know of them."""

from collections.abc import Sequence
from fractions import Fraction

from msgspec import Struct

from engage.domain.activity import Line, Order
from engage.domain.campaigns.definition import CampaignBoost
from engage.domain.earning.credit import NewCredit
from engage.domain.earning.terms import EarningTerms
from engage.domain.earning.unit import POINTS


class Base(Struct, frozen=True):
    """A credit and its exact points. Of an order also the lines that share them, each with its weight."""

    credit: NewCredit
    exact: Fraction
    order: Order | None = None
    lines: Sequence[tuple[Line, int]] = ()

    def lines_about(self, boost: CampaignBoost) -> list[tuple[Line, int]]:
        """The lines that a boost is about, with their weights."""
        return [
            (line, weight)
            for line, weight in self.lines
            if (boost.products is None or line.product_id in boost.products)
            and (boost.categories is None or line.category in boost.categories)
        ]

    def share(self, lines: Sequence[tuple[Line, int]]) -> Fraction:
        """The exact points of some of the lines: their share by weight. Of all of them it is all."""
        if len(lines) == len(self.lines):
            return self.exact
        total = sum(weight for _, weight in self.lines)
        return self.exact * sum(weight for _, weight in lines) / total if total else Fraction(0)


def bases_of_order(terms: EarningTerms, order: Order, credits: Sequence[NewCredit]) -> list[Base]:
    """The bases among the credits of an order."""
    found = []
    for credit in credits:
        if credit.unit != POINTS:
            continue
        rule = terms.rules.by_id[credit.rule_id]
        lines = rule.orders.lines_of(order.lines)
        exact = rule.award.exact(order, lines)
        found.append(Base(credit, exact, order, [(line, rule.award.weight(line)) for line in lines]))
    return found


def base_of(credit: NewCredit) -> Base:
    """The base of a credit that is not an order's."""
    return Base(credit, Fraction(credit.points))
