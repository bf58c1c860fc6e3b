"""An order as the fold of the shop's events about it, in any order of arrival."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Annotated, Final
from uuid import UUID

from msgspec import Meta, Struct
from msgspec.structs import replace

from engage.domain.activity import LINES_PER_ORDER, Identifier, Order
from engage.domain.earning.boost import Boost
from engage.domain.earning.order_returns import is_all_back, ordered_quantities
from engage.domain.refusals import Code, Refusal

RETURNS_PER_ORDER: Final = 1_000

# The shop's clock may differ this much from ours.
SKEW: Final = timedelta(minutes=5)


class ReturnedLine(Struct, frozen=True, forbid_unknown_fields=True):
    """Returned pieces of a line."""

    line_id: Identifier
    quantity: Annotated[int, Meta(ge=1, le=100_000)]


ReturnedLines = Annotated[list[ReturnedLine], Meta(min_length=1, max_length=LINES_PER_ORDER)]


class Return(Struct, frozen=True):
    """A return; without `lines`, of the whole order. Earlier releases did not store when it was."""

    return_id: str
    lines: list[ReturnedLine] | None = None
    at: datetime | None = None

    def is_same_as(self, other: "Return") -> bool:
        """Compare the pieces, in whatever order the lines stand."""
        both_whole = (self.lines is None) == (other.lines is None)
        return both_whole and _quantities([self]) == _quantities([other])


class OrderPayment(Struct, frozen=True):
    """The payment of an order, less what its hold paid. `version`, `zone` and `boosts` decide about it for
    ever: the program's rules in force at `at`, the member's zone, and what boosted the order then.
    """

    order: Order
    at: datetime
    hold_id: UUID | None
    version: str
    zone: str
    boosts: tuple[Boost, ...] = ()


class OrderFacts(Struct, frozen=True):
    """Everything known of an order. Each method returns the facts with one more, whichever came before."""

    paid: OrderPayment | None = None
    delivered_at: datetime | None = None
    cancelled_at: datetime | None = None
    returns: tuple[Return, ...] = ()

    def add_payment(self, payment: OrderPayment) -> "OrderFacts":
        """Only the first payment counts. Raises Refusal order_conflict where another one differs."""
        return self if self.has_payment(payment.order, payment.hold_id) else replace(self, paid=payment)

    def has_payment(self, order: Order, hold_id: UUID | None) -> bool:
        """Tell whether this payment is a repeat. `discount` is ours, so it does not count.

        Raises Refusal order_conflict where the order has another payment.
        """
        if self.paid is None:
            return False
        if (_comparable(self.paid.order), self.paid.hold_id) != (_comparable(order), hold_id):
            raise Refusal(Code.ORDER_CONFLICT, order_id=order.order_id)
        return True

    def joined_with(self, other: "OrderFacts") -> "OrderFacts":
        """The facts of an order that was reported for two members, who are one: each counts once.

        Where both say something else, such as of the lines of one return, these facts come first.
        """
        known = {returned.return_id for returned in self.returns}
        return OrderFacts(
            paid=self.paid or other.paid,
            delivered_at=_earlier(self.delivered_at, other.delivered_at),
            cancelled_at=_earlier(self.cancelled_at, other.cancelled_at),
            returns=(*self.returns, *(r for r in other.returns if r.return_id not in known)),
        )

    def deliver(self, at: datetime) -> "OrderFacts":
        """Of two deliveries the earlier counts."""
        return replace(self, delivered_at=_earlier(at, self.delivered_at))

    def cancel(self, at: datetime) -> "OrderFacts":
        """Of two cancellations the earlier counts."""
        return replace(self, cancelled_at=_earlier(at, self.cancelled_at))

    def add_return(self, returned: Return) -> "OrderFacts":
        """A return with a known id changes nothing.

        Raises Refusal id_reused where that id was of another return; not_bought where the order is paid and
        has no such line, or fewer pieces left; too_many_returns beyond RETURNS_PER_ORDER.
        """
        for known in self.returns:
            if known.return_id == returned.return_id:
                if not known.is_same_as(returned):
                    raise Refusal(Code.ID_REUSED, field="return_id")
                return self
        if len(self.returns) >= RETURNS_PER_ORDER:
            raise Refusal(Code.TOO_MANY_RETURNS, limit=RETURNS_PER_ORDER)
        if self.paid is not None:
            self._check_bought(self.paid.order, returned)
        return replace(self, returns=(*self.returns, returned))

    @property
    def is_back(self) -> bool:
        """Nothing of the order is left, as far as is known: it may be cancelled before it is paid."""
        if self.cancelled_at is not None or any(known.lines is None for known in self.returns):
            return True
        return self.paid is not None and is_all_back(self.paid.order, _quantities(self.returns))

    def returned(self) -> dict[str, int]:
        """The returned quantities of a paid order, by line id, never more than was bought.

        Returned lines that the order does not have count as nothing.
        """
        assert self.paid is not None
        order = self.paid.order
        if self.is_back:
            return ordered_quantities(order)
        returned = _quantities(self.returns)
        return {line.line_id: min(returned.get(line.line_id, 0), line.quantity) for line in order.lines}

    def _check_bought(self, order: Order, returned: Return) -> None:
        all_back = any(known.lines is None for known in self.returns)
        before, bought = _quantities(self.returns), ordered_quantities(order)
        for line_id, quantity in _quantities([returned]).items():
            if all_back or before.get(line_id, 0) + quantity > bought.get(line_id, 0):
                raise Refusal(Code.NOT_BOUGHT, order_id=order.order_id, line_id=line_id)


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((at for at in (one, other) if at is not None), default=None)


def _comparable(order: Order) -> Order:
    return replace(order, discount=0, lines=sorted(order.lines, key=lambda line: line.line_id))


def _quantities(returns: Iterable[Return]) -> dict[str, int]:
    """The sum of the returned lines, by line id."""
    quantities: dict[str, int] = {}
    for returned in returns:
        for line in returned.lines or ():
            quantities[line.line_id] = quantities.get(line.line_id, 0) + line.quantity
    return quantities
