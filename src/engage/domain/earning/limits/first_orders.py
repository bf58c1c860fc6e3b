"""For a member's first delivered orders."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Annotated

from msgspec import Meta

from engage.domain.activity import AnyActivity
from engage.domain.calendar import local_date
from engage.domain.document.errors import Problem
from engage.domain.earning.limits.kind import LimitedRule, LimitKind, LimitState, UsedSlots
from engage.domain.earning.on import On
from engage.domain.earning.streak import Streak
from engage.domain.refusals import Code, Refusal

MOST_ORDERS = 32


class FirstOrders(LimitKind, frozen=True, tag="first_orders"):
    """For the first `count` orders of a member, in the order of their deliveries. With `since`, orders that
    were paid from that day on count although the version was not in force yet, or the member had not joined.

    An order that is not delivered, or is cancelled, takes no place: the next one has it from then on. One
    that is returned keeps its place.
    """

    count: Annotated[int, Meta(ge=1, le=MOST_ORDERS)]
    since: Annotated[date | None, Meta(description="a date, such as 2017-05-01")] = None

    def covers(self, paid_at: datetime, zone: str) -> bool:
        """Tell whether an order counts that was paid before the version or the membership began."""
        return self.since is not None and local_date(paid_at, zone) >= self.since

    def slot(
        self, rule_id: str, activity: AnyActivity, at: datetime, zone: str, streak: Streak | None
    ) -> None:
        return None  # `engage.domain.earning.first_orders` decides, by all orders.

    def state(
        self, rule_id: str, on: On, used: UsedSlots, at: datetime, zone: str, version: str
    ) -> LimitState:
        left = max(0, self.count - used.orders.get(rule_id, 0))
        refusal = Refusal(Code.ALREADY_REWARDED, rule=rule_id, version=version)
        return LimitState(left, None, None if left else refusal)

    def problems(self, on: On, path: str, others: Mapping[str, LimitedRule]) -> Iterator[Problem]:
        if on.activity != "order":
            yield Problem(
                f"{path}.limit.type", f"another limit: no {on.activity} is delivered", '"first_orders"'
            )
