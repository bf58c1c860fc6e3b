"""Events of the shop's server: what they look like, and the member that each one names."""

import hashlib
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field
from msgspec.structs import replace

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
from engage.domain.document.order_scope import check_line_ids
from engage.domain.earning.order_facts import Return, ReturnedLines
from engage.domain.keys import EventKey
from engage.domain.members.cards import CardNumber
from engage.domain.refusals import Refusal
from engage.store.members.members import Member
from engage.store.shop.events import EventContent, RecordedEvent


class EventData(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of the data of events. Unknown fields are refused."""


class EmptyEventData(EventData, frozen=True):
    """No data: the type of the event says everything."""


class ReviewReference(EventData, frozen=True):
    review_id: Identifier


class ShareReference(EventData, frozen=True):
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
        """Raises Mismatch if two lines have the same id."""
        check_line_ids(self.lines)

    def order(self, *, discount: int = 0) -> Order:
        """The order. Its hold paid `discount`, in minor units."""
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
    """Lines of an order were returned, or without `lines` everything that was left of it: no field is that,
    not null. A `return_id` counts once for an order.
    """

    return_id: Identifier
    lines: ReturnedLines | UnsetType = UNSET

    def fact(self, at: datetime) -> Return:
        return Return(self.return_id, None if self.lines is UNSET else self.lines, at)


class Event(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="type"
):
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
    """A review was removed: the points that it earned are taken back."""

    data: ReviewReference


class ShareRemovedEvent(Event, frozen=True, kw_only=True, tag="share.removed"):
    """A share was removed: the points that it earned are taken back."""

    data: ShareReference


class ReviewPublishedEvent(Event, frozen=True, kw_only=True, tag="review.published"):
    """A review was published: points that waited for this become due. It may come before the review is
    recorded.
    """

    data: ReviewReference


class ShareConfirmedEvent(Event, frozen=True, kw_only=True, tag="share.confirmed"):
    """The shop has seen a share: points that waited for this become due. It may come before the share is
    recorded.
    """

    data: ShareReference


class OrderPaidEvent(Event, frozen=True, kw_only=True, tag="order.paid"):
    """The member paid an order. It earns points, which wait for the delivery if the rules say so."""

    data: OrderPaid


class OrderDeliveredEvent(Event, frozen=True, kw_only=True, tag="order.delivered"):
    """The order was delivered: points that waited for it get a due time."""

    data: OrderReference


class OrderCancelledEvent(Event, frozen=True, kw_only=True, tag="order.cancelled"):
    """The order was cancelled: the points that it earned are taken back, and the points and coupons that paid
    for it go back to the member.
    """

    data: OrderReference


class OrderReturnedEvent(Event, frozen=True, kw_only=True, tag="order.returned"):
    """Something of the order was returned: its share of the earned points is taken back, and the same share
    of the points that paid for it goes back to the member.
    """

    data: OrderReturned


OrderEvent = OrderPaidEvent | OrderDeliveredEvent | OrderCancelledEvent | OrderReturnedEvent
RemovalEvent = ReviewRemovedEvent | ShareRemovedEvent
ConfirmationEvent = ReviewPublishedEvent | ShareConfirmedEvent
AnyEvent = AppSignedInEvent | ConfirmationEvent | RemovalEvent | OrderEvent


class MemberEvent(Struct, frozen=True):
    """An event whose member is known."""

    event: AnyEvent
    member: Member

    @property
    def id(self) -> EventKey:
        return self.event.program, self.event.id

    @property
    def program(self) -> str:
        return self.event.program

    @property
    def row(self) -> RecordedEvent:
        """The row that is kept of the event."""
        return RecordedEvent(*self.id, self.member.member_id, content_of(self.event))


class Taken(Struct, frozen=True):
    """Each event of a batch, or its refusal, and how many were recorded: an event that another call records
    at the same time is done, and not counted.
    """

    answers: list[MemberEvent | Refusal]
    recorded: int


_encode = msgspec.json.Encoder().encode


def content_of(event: AnyEvent) -> EventContent:
    """The content of an event, which recognises it when it is sent again.

    The digest is of the decoded event without its defaults, so neither the order of fields, nor the zone of
    the time, nor a field that a later release adds makes another event of it.
    """
    at = event.time.astimezone(UTC)
    in_utc = event if at is event.time else replace(event, time=at)
    digest = hashlib.blake2b(_encode(in_utc), digest_size=16).digest()
    return EventContent(str(event.__struct_config__.tag), at, digest)
