"""The terms of withdrawals in a program document."""

from datetime import datetime, timedelta
from typing import Annotated, Literal

from msgspec import Meta

from engage.domain.document.fields import DocumentStruct, Points

Method = Literal["cash", "mobile_money"]


class WithdrawalTerms(DocumentStruct, frozen=True, kw_only=True):
    """Withdrawing points as money. Withdrawals are announced until `open` is true, from `opens_at` if it is
    known.

    A phone number receives no money for `number_cooldown` after the member named it, registered or in a
    request. The limits of a day count by member and by number.
    """

    open: bool
    opens_at: datetime | None = None
    methods: Annotated[list[Method], Meta(min_length=1)]
    min_points: Points = 1
    max_points_a_day: Points | None = None
    max_count_a_day: Annotated[int, Meta(ge=1, le=1000)] | None = None
    number_cooldown: timedelta = timedelta()
