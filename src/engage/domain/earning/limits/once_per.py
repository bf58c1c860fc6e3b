"""Once for each value of a field of the activity."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Literal

from engage.domain.activity import AnyActivity
from engage.domain.document.errors import Problem, shown
from engage.domain.earning.limits.kind import LimitedRule, LimitKind, LimitState, UsedSlots
from engage.domain.earning.limits.once import OnceSlot, state_of
from engage.domain.earning.on import On
from engage.domain.earning.streak import Streak
from engage.domain.keys import once_key


class OncePer(LimitKind, frozen=True, tag="once_per"):
    """Once for each value of a field of the activity: the first review of each product, each page."""

    field: Literal["product_id", "order_id", "page", "year"]

    def slot(
        self, rule_id: str, activity: AnyActivity, at: datetime, zone: str, streak: Streak | None
    ) -> OnceSlot:
        return OnceSlot(rule_id, str(getattr(activity, self.field)))

    def once_key(self, rule_id: str, on: On) -> str | None:
        return once_key(rule_id, on.page) if self.field == "page" and on.page is not None else None

    def state(
        self, rule_id: str, on: On, used: UsedSlots, at: datetime, zone: str, version: str
    ) -> LimitState:
        if self.once_key(rule_id, on) is None:
            return LimitState()  # There are always more products, orders and pages.
        return state_of(OnceSlot(rule_id, on.page), used, version)

    def problems(self, on: On, path: str, others: Mapping[str, LimitedRule]) -> Iterator[Problem]:
        if self.field not in on.fields:
            yield Problem(f"{path}.limit.field", f"a field of {on.activity}", shown(self.field))
