"""Groups of levels in a document: what is counted, over which window, and what each level is good for."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import blake2b
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, field

from engage.domain.calendar import local_date, start_of_day
from engage.domain.document.fields import DocumentStruct, RuleId
from engage.domain.document.texts import Texts
from engage.domain.earning.boost import Boost
from engage.domain.earning.trace import TraceCode
from engage.domain.keys import tier_boost_key

Metric = Literal["spend_minor", "points_earned", "status"]
WindowOfTiers = Literal["calendar_year", "rolling_12_months", "lifetime"]

# A benefit is on or off, a number, or a text, such as a duration.
Benefit = bool | int | float | Annotated[str, Meta(min_length=1, max_length=200)]
Benefits = Annotated[dict[RuleId, Benefit], Meta(max_length=50)]

MULTIPLY: Final = "multiply"
EXPRESS_DELIVERY: Final = "express_delivery"
EARLY_ACCESS: Final = "early_access"

# Twelve months, with a change of clocks or of a zone.
LONGEST_YEAR: Final = timedelta(days=368)


class Level(DocumentStruct, frozen=True):
    """`from_` is the value of the group's metric from which on a member has the level."""

    id: RuleId
    title: Texts
    from_: Annotated[int, Meta(ge=0, le=1_000_000_000_000)] = field(name="from")
    benefits: Benefits = field(default_factory=dict)

    @property
    def multiply(self) -> Decimal:
        """The number by which the level multiplies points; 1 where it does not."""
        return Decimal(str(self.benefits.get(MULTIPLY, 1)))


def earliest(begins: Iterable[datetime | None]) -> datetime | None:
    """The earliest of several times as of `counts_from`."""
    found = list(begins)
    return None if None in found else min((at for at in found if at is not None), default=None)


class TierGroup(DocumentStruct, frozen=True, kw_only=True):
    """Levels of one kind, the lowest first. A level that was reached lasts until the window's end and `grace`
    after it.
    """

    id: RuleId
    metric: Metric
    window: WindowOfTiers
    grace: Annotated[timedelta, Meta(description="a duration (ISO 8601), such as P30D")] = timedelta()
    levels: Annotated[list[Level], Meta(min_length=1, max_length=20)]

    @property
    def multiplies(self) -> bool:
        return any(level.multiply > 1 for level in self.levels)

    def terms(self, zone: str) -> str:
        """A digest of all that levels follow from, besides the movements of a member."""
        levels = [(level.id, level.from_) for level in self.levels]
        terms = (self.metric, self.window, self.grace, levels, zone)
        return blake2b(msgspec.json.encode(terms), digest_size=12).hexdigest()

    def counts_from(self, at: datetime, zone: str) -> datetime | None:
        """A time so early that nothing which was earned before it has to do with the level at `at`; None
        where all does.
        """
        match self.window:
            case "calendar_year":
                return start_of_day(local_date(at - self.grace, zone).replace(month=1, day=1), zone)
            case "rolling_12_months":
                return at - self.grace - LONGEST_YEAR
            case "lifetime":
                return None

    def level(self, id_: str | None) -> Level | None:
        """The level with an id; None is below the first."""
        return next((level for level in self.levels if level.id == id_), None)

    def boost(self, level: Level | None) -> Boost | None:
        """The boost of a level; None where it adds nothing to points."""
        if level is None or level.multiply <= 1:
            return None
        return Boost(
            id=f"tier:{level.id}",
            key=tier_boost_key(self.id),
            multiply=level.multiply,
            code=TraceCode.TIER_BOOST,
            facts={"group": self.id, "level": level.id},
        )
