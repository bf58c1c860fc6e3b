"""An order as the fold of what the shop told of it, in whatever order it came."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct
from msgspec.structs import replace

from engage.domain.activity import LINES_PER_ORDER, Identifier, Order
from engage.domain.purchase import is_whole, whole
from engage.domain.refusal import Refusal

RETURNS_PER_ORDER = 1_000


class ReturnedLine(Struct, frozen=True, forbid_unknown_fields=True):
    line_id: Identifier
    quantity: Annotated[int, Meta(ge=1, le=100_000)] = 1


class Return(Struct, frozen=True):
    """Something came back; without `lines` everything did."""

    return_id: str
    lines: Annotated[list[ReturnedLine], Meta(max_length=LINES_PER_ORDER)] | None = None


class Payment(Struct, frozen=True):
    """The payment as it was told, with what was taken off by its hold, and what decided about it.

    `version` and `zone` stay those of the first decision, whatever is published later.
    """

    order: Order
    at: datetime
    hold_id: UUID | None
    version: str
    zone: str


class Facts(Struct, frozen=True):
    """All that is known of an order. Each method gives the facts with one more; none of them minds which of
    the others came before.
    """

    payment: Payment | None = None
    delivered_at: datetime | None = None
    cancelled_at: datetime | None = None
    returns: tuple[Return, ...] = ()

    def pay(self, payment: Payment) -> "Facts":
        """The first payment counts; the same told again is nothing new.

        Raises Refusal order_conflict where it is another one.
        """
        if self.payment is None:
            return replace(self, payment=payment)
        if _told(self.payment) != _told(payment):
            raise Refusal("order_conflict", status=409, order_id=payment.order.order_id)
        return self

    def deliver(self, at: datetime) -> "Facts":
        """Told twice, the earlier time counts."""
        return replace(self, delivered_at=at if self.delivered_at is None else min(at, self.delivered_at))

    def cancel(self, at: datetime) -> "Facts":
        return replace(self, cancelled_at=at if self.cancelled_at is None else min(at, self.cancelled_at))

    def give_back(self, given: Return) -> "Facts":
        """A return that is told again, by its id, is nothing new.

        Raises Refusal not_bought where the order is known and has no such line, or not so many pieces left;
        too_many_returns where nobody can mean it.
        """
        if any(known.return_id == given.return_id for known in self.returns):
            return self
        if len(self.returns) >= RETURNS_PER_ORDER:
            raise Refusal("too_many_returns", status=409, limit=RETURNS_PER_ORDER)
        if self.payment is not None:
            self._check(self.payment.order, given)
        return replace(self, returns=(*self.returns, given))

    def returned(self) -> dict[str, int]:
        """The quantities that are back, by line id, of an order that is paid; never more than was bought.

        A cancelled order is back as a whole.
        """
        assert self.payment is not None
        order = self.payment.order
        if self.cancelled_at is not None or any(one.lines is None for one in self.returns):
            return whole(order)
        told = _quantities(self.returns)
        return {line.line_id: min(told.get(line.line_id, 0), line.quantity) for line in order.lines}

    @property
    def is_back(self) -> bool:
        """Whether everything is back, of an order that is paid."""
        return self.payment is not None and is_whole(self.payment.order, self.returned())

    def _check(self, order: Order, given: Return) -> None:
        all_back = any(one.lines is None for one in self.returns)
        told, bought = _quantities(self.returns), whole(order)
        for line_id, quantity in _quantities([given]).items():
            if all_back or told.get(line_id, 0) + quantity > bought.get(line_id, 0):
                raise Refusal("not_bought", status=409, order_id=order.order_id, line_id=line_id)


def _quantities(returns: Iterable[Return]) -> dict[str, int]:
    """What returns tell of lines, by their ids."""
    told: dict[str, int] = {}
    for one in returns:
        for line in one.lines or ():
            told[line.line_id] = told.get(line.line_id, 0) + line.quantity
    return told


def _told(payment: Payment) -> tuple[Order, UUID | None]:
    """What the shop told of a payment. What was taken off by its hold is ours."""
    return replace(payment.order, discount=0), payment.hold_id
