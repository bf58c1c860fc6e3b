"""The shop's events, as the shop sends them."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta, Struct, field

from engage.domain.activity import (
    Channel,
    Identifier,
    Lines,
    MemberId,
    MinorUnits,
    Order,
    Payment,
)
from engage.domain.document.fields import Currency, ProgramId
from engage.domain.earning.order_facts import ReturnedLines
from engage.domain.members.cards import CardNumber
from engage.domain.refusals import Code
from engage.store.members.members import Member
from engage.store.shop.events import RecordedEvent


class EventData(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what events tell: a field that nobody knows is a mistake."""


class EmptyEventData(EventData, frozen=True):
    """An event that says all by its type."""


class ReviewRemoved(EventData, frozen=True):
    review_id: Identifier


class ShareRemoved(EventData, frozen=True):
    share_id: Identifier


class OrderReference(EventData, frozen=True):
    order_id: Identifier


class OrderPaid(OrderReference, frozen=True, kw_only=True):
    """An order was paid, by card, cash and so on, and by the points and coupons of its hold.

    `paid` of a line, and `shipping`, are after the shop's own discounts and before what the hold took off.
    """

    channel: Channel
    payment: Payment
    lines: Lines
    shipping: MinorUnits = 0
    currency: Currency
    hold_id: UUID | None = None

    def __post_init__(self) -> None:
        """Raises ValueError where two lines have one id."""
        if len({line.line_id for line in self.lines}) < len(self.lines):
            raise ValueError("two lines have the same line_id")

    def order(self, *, discount: int = 0) -> Order:
        """The order, of which a hold paid `discount`, in minor units."""
        return Order(
            order_id=self.order_id,
            channel=self.channel,
            payment=self.payment,
            lines=self.lines,
            shipping=self.shipping,
            currency=self.currency,
            discount=discount,
        )


class OrderReturned(OrderReference, frozen=True, kw_only=True):
    """Lines of an order came back, or without `lines` all that was left of it. The same `return_id` counts
    once for an order.
    """

    return_id: Identifier
    lines: ReturnedLines | None = None


class Event(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"):
    """Something that happened at the shop. Names its member by id or by card number."""

    id: Identifier
    time: Annotated[datetime, Meta(tz=True)]
    program: ProgramId
    member_id: MemberId | None = None
    card_number: CardNumber | None = None


class AppSignedInEvent(Event, frozen=True, kw_only=True, tag="app.signed_in"):
    """The member signed in to the store app."""

    data: EmptyEventData = field(default_factory=EmptyEventData)


class ReviewRemovedEvent(Event, frozen=True, kw_only=True, tag="review.removed"):
    """A review is gone; what it earned is taken back."""

    data: ReviewRemoved


class ShareRemovedEvent(Event, frozen=True, kw_only=True, tag="share.removed"):
    """A share is gone; what it earned is taken back."""

    data: ShareRemoved


class OrderPaidEvent(Event, frozen=True, kw_only=True, tag="order.paid"):
    """The member paid an order: it earns points, which wait for its delivery where the rules say so."""

    data: OrderPaid


class OrderDeliveredEvent(Event, frozen=True, kw_only=True, tag="order.delivered"):
    """The member has the order: points that waited for it have a due time."""

    data: OrderReference


class OrderCancelledEvent(Event, frozen=True, kw_only=True, tag="order.cancelled"):
    """The order is off: what it earned is taken back, and what it was paid with in points and coupons goes
    back to the member.
    """

    data: OrderReference


class OrderReturnedEvent(Event, frozen=True, kw_only=True, tag="order.returned"):
    """Something of the order came back: its share of the points is taken back, and the same share of those
    that it was paid with goes back to the member.
    """

    data: OrderReturned


OrderEvent = OrderPaidEvent | OrderDeliveredEvent | OrderCancelledEvent | OrderReturnedEvent
RemovalEvent = ReviewRemovedEvent | ShareRemovedEvent
AnyEvent = AppSignedInEvent | RemovalEvent | OrderEvent


class MemberEvent(Struct, frozen=True):
    """An event whose member was found."""

    event: AnyEvent
    member: Member

    @property
    def seen(self) -> RecordedEvent:
        """What is kept of it once it is done."""
        kind = str(self.event.__struct_config__.tag)
        member = self.member
        return RecordedEvent(member.program_id, self.event.id, kind, member.member_id, self.event.time)


class RefusedEvent(Struct, frozen=True):
    """An event that did nothing, and why; sent again it may."""

    id: str
    code: Code
    facts: dict[str, Any]
