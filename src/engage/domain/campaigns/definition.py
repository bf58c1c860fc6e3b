"""The document of a campaign. It shares its parts with program documents."""

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from fractions import Fraction
from functools import lru_cache
from typing import Annotated, Final, Literal

from msgspec import Meta, field

from engage.domain.activity import Channel, Identifier
from engage.domain.calendar import instant
from engage.domain.campaigns.example import CampaignExample
from engage.domain.challenges.definition import Challenge
from engage.domain.definitions.definition import DefinitionId, Moment
from engage.domain.document.fields import Country, DocumentStruct, Points, ProgramId, RuleId
from engage.domain.document.texts import Texts
from engage.domain.draws.definition import Draw
from engage.domain.earning.definition import Rule
from engage.domain.games.definition import Game
from engage.domain.leaderboards.definition import Leaderboard
from engage.domain.quizzes.definition import Quiz

# Calls of the operators' API have the other names.
CampaignId = Annotated[
    str,
    Meta(
        max_length=48,
        pattern=r"^(?!(dry-run|simulate|backtests)$)[A-Za-z0-9][A-Za-z0-9_-]*(?!\n)$",
        description="a name of letters, digits, _ and -, at most 48, such as members-week;"
        " not dry-run, simulate or backtests",
    ),
]

# Campaigns whose window is in the own zone of each country.
MEMBER_ZONE: Final = "member"

Percent = Annotated[int, Meta(ge=1, le=100)]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: Final[tuple[Weekday, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

LocalTime = Annotated[
    str,
    Meta(
        pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9](?!\n)$|^24:00(?!\n)$",
        description="a local time of the day, such as 10:00",
    ),
]

Multiplier = Annotated[
    Annotated[int, Meta(gt=1, le=100)] | Annotated[float, Meta(gt=1, le=100)],
    Meta(description="a number above 1, at most 100, such as 2 or 1.5"),
]
MaxMultiplier = Annotated[
    Annotated[int, Meta(ge=1, le=100)] | Annotated[float, Meta(ge=1, le=100)],
    Meta(description="a number from 1 to 100, such as 3 or 2.5"),
]


class Audience(DocumentStruct, frozen=True, kw_only=True):
    """Conditions on a member, all of which have to hold at the time of the activity.

    `tiers` are ids of levels, one of which the member has. `first_order`: the member has paid no order
    before. `no_order_for`: none in this time before the activity. `percent` is a stable share of members.
    """

    countries: Annotated[list[Country], Meta(min_length=1, max_length=200)] | None = None
    tiers: Annotated[list[RuleId], Meta(min_length=1, max_length=100)] | None = None
    segments: Annotated[list[DefinitionId], Meta(min_length=1, max_length=100)] | None = None
    joined_before: Moment | None = None
    joined_after: Moment | None = None
    first_order: bool = False
    no_order_for: Annotated[timedelta | None, Meta(description="a duration (ISO 8601), such as P90D")] = None
    percent: Percent | None = None

    @property
    def needs_orders(self) -> bool:
        return self.first_order or self.no_order_for is not None


class CampaignBoost(DocumentStruct, frozen=True, kw_only=True):
    """More points for what these rules pay: `multiply` or `add`.

    `products`, `categories`, `channels` and `min_amount_minor` are for orders: a boost with `products` or
    `categories` is about those lines alone, and `min_amount_minor` is what they have to cost. `hours` are
    from the first (inclusive) until the second local time; past midnight where the second is earlier.
    """

    id: RuleId
    rules: Annotated[list[RuleId], Meta(min_length=1, max_length=100)]
    multiply: Multiplier | None = None
    add: Points | None = None
    products: Annotated[list[Identifier], Meta(min_length=1, max_length=1_000)] | None = None
    categories: Annotated[list[Identifier], Meta(min_length=1, max_length=1_000)] | None = None
    channels: Annotated[list[Channel], Meta(min_length=1, max_length=3)] | None = None
    min_amount_minor: Annotated[int, Meta(ge=1, le=1_000_000_000_000)] | None = None
    weekdays: Annotated[list[Weekday], Meta(min_length=1, max_length=7)] | None = None
    hours: Annotated[list[LocalTime], Meta(min_length=2, max_length=2)] | None = None

    @property
    def factor(self) -> Fraction:
        """The number that the points of the base are multiplied with; 0 for a boost that adds."""
        return _factor(self.multiply)

    @property
    def is_about_orders(self) -> bool:
        """True if only orders can fulfil its conditions."""
        conditions = (self.products, self.categories, self.channels, self.min_amount_minor)
        return any(condition is not None for condition in conditions)

    def happens_at(self, local: datetime) -> bool:
        """Tell whether a local time is within the weekdays and hours."""
        if self.weekdays is not None and WEEKDAYS[local.weekday()] not in self.weekdays:
            return False
        if self.hours is None:
            return True
        start, end = (minutes_of(clock) for clock in self.hours)
        now = local.hour * 60 + local.minute
        return start <= now < end if start < end else now >= start or now < end


class Offer(DocumentStruct, frozen=True, kw_only=True):
    """Another price of a reward in the catalogue: `points`, or the usual ones less `percent`. `stock` pieces
    at that price, where it is limited.
    """

    reward: RuleId
    points: Points | None = None
    percent: Annotated[int, Meta(ge=1, le=99)] | None = None
    stock: Annotated[int, Meta(ge=1, le=1_000_000_000)] | None = None

    def price(self, usual: int) -> int:
        """The price in points, at least one; rounded up, as a discount is never more than its percentage."""
        if self.points is not None:
            return self.points
        return max(1, -(-usual * (100 - (self.percent or 0)) // 100))


class Stacking(DocumentStruct, frozen=True, kw_only=True):
    """The way in which boosts of campaigns that meet on one credit combine. Without it they add up.

    Of a `group` the campaign with the highest `priority` boosts. `exclusive`: no other campaign boosts what
    this one does. `max_multiplier` limits the base and all boosts of campaigns together.
    """

    group: RuleId | None = None
    priority: Annotated[int, Meta(ge=-1_000, le=1_000)] = 0
    exclusive: bool = False
    max_multiplier: MaxMultiplier | None = None


class Budget(DocumentStruct, frozen=True, kw_only=True):
    """Limits of what a campaign gives, never exceeded. `count` and `per_device` are numbers of credits.

    `alerts` are percentages of `points` and of `count` at which operators get an alert.
    """

    points: Annotated[int, Meta(ge=1, le=1_000_000_000_000)] | None = None
    points_per_member: Annotated[int, Meta(ge=1, le=1_000_000_000)] | None = None
    count: Annotated[int, Meta(ge=1, le=1_000_000_000)] | None = None
    per_device: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    alerts: Annotated[list[Percent], Meta(max_length=20)] = field(default_factory=lambda: [50, 80, 100])


class Campaign(DocumentStruct, frozen=True, kw_only=True, dict=True):
    """One version of a campaign. `from_` and `until` (exclusive) are local times of `zone`."""

    id: CampaignId
    program: ProgramId
    title: Texts
    from_: Moment = field(name="from")
    until: Moment
    zone: Annotated[str, Meta(description='"member", or an IANA time zone such as Europe/Madrid')] = (
        MEMBER_ZONE
    )
    audience: Audience = Audience()
    holdout_percent: Annotated[int, Meta(ge=0, le=90)] = 0
    boosts: Annotated[list[CampaignBoost], Meta(max_length=100)] = field(default_factory=list)
    rules: Annotated[list[Rule], Meta(max_length=50)] = field(default_factory=list)
    quizzes: Annotated[list[Quiz], Meta(max_length=50)] = field(default_factory=list)
    challenges: Annotated[list[Challenge], Meta(max_length=50)] = field(default_factory=list)
    games: Annotated[list[Game], Meta(max_length=50)] = field(default_factory=list)
    draws: Annotated[list[Draw], Meta(max_length=50)] = field(default_factory=list)
    leaderboards: Annotated[list[Leaderboard], Meta(max_length=50)] = field(default_factory=list)
    offers: Annotated[list[Offer], Meta(max_length=100)] = field(default_factory=list)
    stacking: Stacking = Stacking()
    budget: Budget | None = None
    examples: Annotated[list[CampaignExample], Meta(max_length=100)] = field(default_factory=list)

    def begins_at(self, zone: str) -> datetime:
        """The instant at which it begins for members of a zone."""
        return instant(self.from_, self._zone(zone))

    def ends_at(self, zone: str) -> datetime:
        """The instant from which on it is over for members of a zone."""
        return instant(self.until, self._zone(zone))

    def first_instant(self, zones: Sequence[str]) -> datetime:
        return min(self.begins_at(zone) for zone in zones)

    def last_instant(self, zones: Sequence[str]) -> datetime:
        return max(self.ends_at(zone) for zone in zones)

    def _zone(self, zone: str) -> str:
        return zone if self.zone == MEMBER_ZONE else self.zone


@lru_cache(1_000)
def _factor(multiply: float | None) -> Fraction:
    return Fraction(0) if multiply is None else Fraction(str(multiply)) - 1


def minutes_of(clock: str) -> int:
    """The minute of the day of a local time; 1440 for 24:00."""
    if clock == "24:00":
        return 24 * 60
    found = time.fromisoformat(clock)
    return found.hour * 60 + found.minute
