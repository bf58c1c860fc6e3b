"""The points that orders earn, and the part of them that stays when lines come back.

Pure. The points of an order follow from its payment and the quantities that came back so far; the order and
the number of the returns do not matter.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from engage.domain.activity import Line, Order
from engage.domain.document.order_scope import OrderScope
from engage.domain.earning.boost import Boost, beside
from engage.domain.earning.credit import NewCredit, expires_at, new_credit
from engage.domain.earning.definition import Rule
from engage.domain.earning.due import OnDelivery
from engage.domain.earning.order_returns import ordered_quantities, taken_back
from engage.domain.earning.terms import EarningTerms
from engage.domain.earning.trace import TraceCode, TraceStep, step
from engage.domain.keys import order_key


class Standing(Struct, frozen=True):
    """A credit of an order as it was decided, after delivery and returns.

    `taken_back` of `credit.points` are gone. `due_at` is None while the points wait for the delivery.
    """

    credit: NewCredit
    taken_back: int
    due_at: datetime | None
    expires_at: datetime | None

    @property
    def kept(self) -> int:
        return self.credit.points - self.taken_back


def decide_order(terms: EarningTerms, order: Order, *, at: datetime, zone: str) -> list[NewCredit]:
    """The credits of an order that was paid at `at` by a member of that zone; none where no rule pays for it.

    The order's currency is that of the member's country: the caller has checked it.
    """
    trace: list[TraceStep] = []
    earned: list[tuple[Rule, int, list[Line]]] = []
    for rule in terms.rules.matching(order):
        points, lines, steps = _points(rule, order)
        if points and rule.id in terms.unpaid:
            points = 0
            steps = [step(TraceCode.BUDGET_EXHAUSTED, rule=rule.id, campaign=terms.campaigns[rule.id])]
        trace += steps
        if points:
            earned.append((rule, points, lines))
    return [
        new_credit(
            terms,
            rule.id,
            points,
            order,
            due=rule.due,
            unit=rule.unit,
            source_key=order_key(order.order_id, rule.id),
            inputs={"lines": [line.line_id for line in lines]},
            at=at,
            zone=zone,
            trace=trace,
        )
        for rule, points, lines in earned
    ]


def standing(
    terms: EarningTerms,
    order: Order,
    *,
    at: datetime,
    zone: str,
    delivered_at: datetime | None = None,
    cancelled_at: datetime | None = None,
    returned: Mapping[str, int] | None = None,
    boosts: Sequence[Boost] = (),
    decided: Sequence[NewCredit] | None = None,
) -> list[Standing]:
    """The standing of each credit of an order, by everything known of it; those that its boosts add come
    right after their base.

    `returned` are the quantities that came back so far, by line id; a cancelled order is back as a whole.
    `decided` is what `decide_order` has said of it, where the caller has asked before.
    """
    if decided is None:
        decided = decide_order(terms, order, at=at, zone=zone)
    back = ordered_quantities(order) if cancelled_at is not None else returned or {}
    return [
        _standing(terms, credit, order, back, delivered_at=delivered_at, only=only)
        for base in decided
        for credit, only in ((base, None), *((added, boost.lines) for added, boost in beside(base, boosts)))
    ]


def _points(rule: Rule, order: Order) -> tuple[int, list[Line], list[TraceStep]]:
    """(points, the lines that share them, why)"""
    excluded = _exclusion(rule.id, rule.orders, order)
    if excluded is not None:
        return 0, [], [excluded]
    lines = rule.orders.lines_of(order.lines)
    if not lines:
        return 0, [], [step(TraceCode.ONLY_PROMOTION_LINES, rule=rule.id)]
    points, why = rule.award.for_order(rule.id, order, lines)
    left_out = len(order.lines) - len(lines)
    if not left_out:
        return points, lines, [why]
    return points, lines, [why, step(TraceCode.PROMOTION_LINES_LEFT_OUT, rule=rule.id, lines=left_out)]


def _exclusion(rule_id: str, scope: OrderScope, order: Order) -> TraceStep | None:
    """The reason why a rule is not about an order; None where it is."""
    payment = order.payment
    if scope.channels is not None and order.channel not in scope.channels:
        return step(TraceCode.CHANNEL_EXCLUDED, rule=rule_id, channel=order.channel)
    if payment.method in scope.refused_methods:
        return step(TraceCode.PAYMENT_METHOD_EXCLUDED, rule=rule_id, method=payment.method)
    if scope.online_at_pickup and order.channel != "store" and not payment.at_pickup:
        return step(TraceCode.NOT_PAID_AT_PICKUP, rule=rule_id, channel=order.channel)
    return None


def _standing(
    terms: EarningTerms,
    credit: NewCredit,
    order: Order,
    returned: Mapping[str, int],
    *,
    delivered_at: datetime | None,
    only: Collection[str] | None,
) -> Standing:
    """`only`: the ids of the lines that the credit is about, of those that its rule is about."""
    rule = terms.rules.by_id[credit.rule_id]
    lines = rule.orders.lines_of(order.lines)
    if only is not None:
        lines = [line for line in lines if line.line_id in only]
    gone = taken_back(credit.points, lines, returned, weight=rule.award.weight)
    due_at, ends_at = credit.due_at, credit.expires_at
    if isinstance(rule.due, OnDelivery) and delivered_at is not None:
        due_at = max(delivered_at, credit.activity_at)
        ends_at = expires_at(terms, credit.unit, due_at, credit.why.zone)
    return Standing(credit, gone, due_at, ends_at)
