"""Which orders, and which of their lines, a rule or the checkout applies to."""

from typing import Annotated

from msgspec import Meta, field

from engage.domain.activity import Channel, PaymentMethod
from engage.domain.document.fields import DocumentStruct


class OrderScope(DocumentStruct, frozen=True):
    """Which orders a rule is about, and which of their lines; or which may be paid with points.

    `online_at_pickup`: orders of the web shop and the app only when they are paid where they are picked up.
    `promotion_lines`: whether lines in a price-reducing promotion count too.
    """

    channels: Annotated[list[Channel], Meta(min_length=1)] | None = None
    refused_methods: list[PaymentMethod] = field(default_factory=list)
    online_at_pickup: bool = False
    promotion_lines: bool = True
