"""What orders earn, and how much of it stays when parts of them come back.

Pure. Whatever becomes of an order, its points follow from the payment and the quantities that came back so
far; in which order and in how many parts they came does not matter.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from fractions import Fraction

from msgspec import Struct

from engage.domain.accounts.expiry import expires_at
from engage.domain.activity import Line, Order
from engage.domain.document.order_scope import OrderScope
from engage.domain.earning.decide import NewCredit, credit_of
from engage.domain.earning.rules import Brackets, EveryNthDay, Fixed, OnDelivery, PerSpend, Rule, TagPoints
from engage.domain.earning.terms import EarningTerms


class Standing(Struct, frozen=True):
    """A credit of an order as it was decided, and what the order's later life makes of it.

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

    The order's currency is that of the member's country: whoever asks has looked.
    """
    trace: list[str] = []
    earned: list[tuple[Rule, int, list[Line]]] = []
    for rule in terms.rules.matching(order):
        points, lines, because = _points(rule, order)
        trace.append(f"{rule.id}: {because}")
        if points:
            earned.append((rule, points, lines))
    return [
        credit_of(
            terms,
            rule,
            points,
            order,
            source_key=source_key(order.order_id, rule.id),
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
) -> list[Standing]:
    """What each credit of an order has come to, by all that is known of it.

    `returned` are the quantities that came back so far, by line id; a cancelled order is back as a whole.
    """
    back = whole(order) if cancelled_at is not None else returned or {}
    return [
        _standing(terms, credit, order, back, delivered_at=delivered_at)
        for credit in decide_order(terms, order, at=at, zone=zone)
    ]


def refusing(scope: OrderScope, order: Order) -> str | None:
    """Why a scope is not about an order as a whole; None where it is."""
    payment = order.payment
    if scope.channels is not None and order.channel not in scope.channels:
        return f"nothing by channel {order.channel}"
    if payment.method in scope.refused_methods:
        return f"nothing paid by {payment.method}"
    if scope.online_at_pickup and order.channel != "store" and not payment.at_pickup:
        return f"nothing by channel {order.channel} unless it is paid at pick-up"
    return None


def lines_in(scope: OrderScope, lines: Sequence[Line]) -> list[Line]:
    """The lines that a scope is about, of an order that it is about."""
    return [line for line in lines if scope.promotion_lines or not line.promotion]


def by_paid(line: Line) -> int:
    """What a line weighs among the lines that share an order's points: what was paid for it."""
    return line.paid


def by_tags(line: Line) -> int:
    """The same, where the points are those on the price tags."""
    return line.tag_points * line.quantity


def taken_back(
    points: int,
    lines: Sequence[Line],
    returned: Mapping[str, int],
    *,
    weight: Callable[[Line], int] = by_paid,
) -> int:
    """How many of an order's `points`, which `lines` share, are gone with the quantities returned so far.

    It depends on the sum of all returns alone, so any split of them adds up to all points when everything is
    back. Rounded down: of a point that is not gone as a whole, nothing is. More than was bought is all of it.
    """
    if not any(returned.get(line.line_id) for line in lines):
        return 0
    total = sum(weight(line) for line in lines)
    if not total:
        # Points that no line weighs anything for, such as those of the shipping, go with the last line.
        return points if all(returned.get(line.line_id, 0) >= line.quantity for line in lines) else 0
    share = sum(
        Fraction(weight(line) * min(returned.get(line.line_id, 0), line.quantity), line.quantity)
        for line in lines
    )
    return int(points * share / total)


def whole(order: Order) -> dict[str, int]:
    """Everything that was bought, as quantities by line id."""
    return {line.line_id: line.quantity for line in order.lines}


def is_whole(order: Order, returned: Mapping[str, int]) -> bool:
    """Whether everything is back."""
    return all(returned.get(line.line_id, 0) >= line.quantity for line in order.lines)


def reinstated(points: int, order: Order, returned: Mapping[str, int], *, paying: OrderScope) -> int:
    """The part of the points that paid an order that goes back to the member: the share of the returned
    quantities among the lines that could be paid with points (`paying`).
    """
    return taken_back(points, lines_in(paying, order.lines) or order.lines, returned)


def _points(rule: Rule, order: Order) -> tuple[int, list[Line], str]:
    """(points, the lines that share them, why)."""
    refused = refusing(rule.orders, order)
    if refused is not None:
        return 0, [], refused
    lines = lines_in(rule.orders, order.lines)
    if not lines:
        return 0, [], "all lines are in a promotion"
    points, because = _award(rule, order, lines)
    left_out = len(order.lines) - len(lines)
    return points, lines, because + (f"; {left_out} lines in a promotion left out" if left_out else "")


def _award(rule: Rule, order: Order, lines: list[Line]) -> tuple[int, str]:
    match rule.award:
        case PerSpend(points=points, step_minor=step, shipping=shipping):
            spent, words = _spent(order, lines, shipping=shipping)
            earned = spent // step * points
            return earned, f"{words}: {earned}, {points} for each {step}"
        case TagPoints():
            earned = sum(by_tags(line) for line in lines)
            return earned, f"{earned} on the price tags"
        case Brackets(brackets=brackets, shipping=shipping):
            spent, words = _spent(order, lines, shipping=shipping)
            reached = max(
                (bracket for bracket in brackets if bracket.from_minor <= spent),
                key=lambda bracket: bracket.from_minor,
                default=None,
            )
            if reached is None:
                return 0, f"{words}: below all brackets"
            return reached.points, f"{words}: {reached.points}, from {reached.from_minor}"
        case Fixed(points=points):
            return points, f"each order pays {points}"
        case EveryNthDay():
            raise AssertionError(
                "an order is no day of a streak: engage.domain.program.validation refuses it"
            )


def _spent(order: Order, lines: list[Line], *, shipping: bool) -> tuple[int, str]:
    """(minor units that earn, the same in words)."""
    paid = sum(line.paid for line in lines)
    words = f"{paid} for {len(lines)} lines"
    if shipping and order.shipping:
        paid += order.shipping
        words += f" and {order.shipping} for shipping"
    if order.discount:
        words += f", less {order.discount} paid with points or coupons"
    return max(0, paid - order.discount), words


def source_key(order_id: str, rule_id: str) -> str:
    return f"order:{order_id}:{rule_id}"


def _standing(
    terms: EarningTerms,
    credit: NewCredit,
    order: Order,
    returned: Mapping[str, int],
    *,
    delivered_at: datetime | None,
) -> Standing:
    rule = terms.rules.by_id[credit.rule_id]
    weight = by_tags if isinstance(rule.award, TagPoints) else by_paid
    gone = taken_back(credit.points, lines_in(rule.orders, order.lines), returned, weight=weight)
    due, expires = credit.due_at, credit.expires_at
    if isinstance(rule.due, OnDelivery) and delivered_at is not None:
        due = max(delivered_at, credit.activity_at)
        expires = expires_at(terms.expiry, due, credit.why.zone)
    return Standing(credit, gone, due, expires)
