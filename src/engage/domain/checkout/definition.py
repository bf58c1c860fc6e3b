"""The terms of paying orders with points in a program document."""

from datetime import timedelta
from typing import Annotated

from msgspec import Meta

from engage.domain.document.fields import DocumentStruct
from engage.domain.document.order_scope import OrderScope


class Checkout(DocumentStruct, frozen=True, kw_only=True):
    """Paying an order with points.

    `max_percent` is the share of the lines that points can pay, and with `shipping` of the shipping too. A
    hold is released after `hold_for` unless it was captured.
    """

    min_balance: Annotated[int, Meta(ge=1, le=1_000_000_000)] = 1
    max_percent: Annotated[int, Meta(ge=1, le=100)] = 100
    shipping: bool = False
    orders: OrderScope = OrderScope()
    hold_for: Annotated[timedelta, Meta(description="a duration (ISO 8601), such as PT30M")] = timedelta(
        minutes=30
    )
