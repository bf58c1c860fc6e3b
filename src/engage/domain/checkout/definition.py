"""The terms of paying orders with points in a program document."""

from datetime import timedelta
from typing import Annotated

from msgspec import Meta

from engage.domain.document.fields import DocumentStruct
from engage.domain.document.order_scope import OrderScope


class Checkout(DocumentStruct, frozen=True, kw_only=True):
    """Paying an order with points.

    `max_percent` is of the lines that may be paid with points, and of the shipping where `shipping` says so.
    A hold that is neither captured nor released in `hold_for` is released.
    """

    min_balance: Annotated[int, Meta(ge=1, le=1_000_000_000)] = 1
    max_percent: Annotated[int, Meta(ge=1, le=100)] = 100
    shipping: bool = False
    orders: OrderScope = OrderScope()
    hold_for: Annotated[timedelta, Meta(description="a duration (ISO 8601), such as PT30M")] = timedelta(
        minutes=30
    )
