"""An order as the fold of what the shop told of it, in whatever order it came."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct
from msgspec.structs import replace

from engage.domain.activity import LINES_PER_ORDER, Identifier, Order
from engage.domain.earning.order_returns import is_all_back, ordered_quantities
from engage.domain.refusals import Code, Refusal

RETURNS_PER_ORDER = 1_000


class ReturnedLine(Struct, frozen=True, forbid_unknown_fields=True):
    """So many pieces of a line came back."""

    line_id: Identifier
    quantity: Annotated[int, Meta(ge=1, le=100_000)]


ReturnedLines = Annotated[list[ReturnedLine], Meta(min_length=1, max_length=LINES_PER_ORDER)]


class Return(Struct, frozen=True):
    """Something came back; without `lines` everything did."""

    return_id: str
    lines: list[ReturnedLine] | None = None


class Paid(Struct, frozen=True):
    """The payment of an order as it was told, with what its hold took off, and the rules that decide about
    it: those in force at `at`, in the member's zone, for ever.
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

    paid: Paid | None = None
    delivered_at: datetime | None = None
    cancelled_at: datetime | None = None
    returns: tuple[Return, ...] = ()

    def pay(self, paid: Paid) -> "Facts":
        """The first payment counts. Raises Refusal order_conflict where another one is told."""
        return self if self.knows(paid.order, paid.hold_id) else replace(self, paid=paid)

    def knows(self, order: Order, hold_id: UUID | None) -> bool:
        """Whether this payment was told before; `discount` is ours, and does not tell.

        Raises Refusal order_conflict where another one was.
        """
        if self.paid is None:
            return False
        if (_told(self.paid.order), self.paid.hold_id) != (_told(order), hold_id):
            raise Refusal(Code.ORDER_CONFLICT, order_id=order.order_id)
        return True

    def deliver(self, at: datetime) -> "Facts":
        """Told twice, the earlier time counts."""
        return replace(self, delivered_at=min(at, self.delivered_at or at))

    def cancel(self, at: datetime) -> "Facts":
        return replace(self, cancelled_at=min(at, self.cancelled_at or at))

    def give_back(self, given: Return) -> "Facts":
        """A return that is told again, by its id, is nothing new.

        Raises Refusal not_bought where the order is known and has no such line, or not so many pieces left;
        too_many_returns where nobody can mean it.
        """
        if any(known.return_id == given.return_id for known in self.returns):
            return self
        if len(self.returns) >= RETURNS_PER_ORDER:
            raise Refusal(Code.TOO_MANY_RETURNS, limit=RETURNS_PER_ORDER)
        if self.paid is not None:
            self._check(self.paid.order, given)
        return replace(self, returns=(*self.returns, given))

    @property
    def is_back(self) -> bool:
        """Whether nothing of the order is left, as far as is known: it may be cancelled before it is paid."""
        if self.cancelled_at is not None or any(one.lines is None for one in self.returns):
            return True
        return self.paid is not None and is_all_back(self.paid.order, _quantities(self.returns))

    def returned(self) -> dict[str, int]:
        """The quantities that are back, by line id, of an order that is paid; never more than was bought.

        What was told of lines before the payment and is not among them is nothing.
        """
        assert self.paid is not None
        order = self.paid.order
        if self.is_back:
            return ordered_quantities(order)
        told = _quantities(self.returns)
        return {line.line_id: min(told.get(line.line_id, 0), line.quantity) for line in order.lines}

    def _check(self, order: Order, given: Return) -> None:
        all_back = any(one.lines is None for one in self.returns)
        told, bought = _quantities(self.returns), ordered_quantities(order)
        for line_id, quantity in _quantities([given]).items():
            if all_back or told.get(line_id, 0) + quantity > bought.get(line_id, 0):
                raise Refusal(Code.NOT_BOUGHT, order_id=order.order_id, line_id=line_id)


def _told(order: Order) -> Order:
    return replace(order, discount=0, lines=sorted(order.lines, key=lambda line: line.line_id))


def _quantities(returns: Iterable[Return]) -> dict[str, int]:
    """What returns tell of lines, by their ids."""
    told: dict[str, int] = {}
    for one in returns:
        for line in one.lines or ():
            told[line.line_id] = told.get(line.line_id, 0) + line.quantity
    return told
