"""A program document: the rules of one market for a time, as data.

A document is TOML, decoded into these structs by `engage.domain.program.parse`. Every kind of limit, award
and due time is one tagged struct; a new kind of rule is a new struct and a branch where it is matched,
never a question which program it is.
"""

from datetime import date, datetime, time, timedelta
from typing import Annotated, Literal

from msgspec import Meta, field

from engage.domain.activity import Channel, Identifier, PaymentMethod
from engage.domain.calendar import WindowKind
from engage.domain.document.fields import Country as Country
from engage.domain.document.fields import Currency, Part, Points, RuleId, Title, VersionName
from engage.domain.document.fields import ProgramId as ProgramId
from engage.domain.examples.steps import Example

# The gate keeps the slots of a window as bits of one 32-bit number.
SLOTS_PER_WINDOW = 32


class Market(Part, frozen=True):
    """What a country has of its own. The zone is that of its members' days and months."""

    zone: Annotated[str, Meta(description="an IANA time zone, such as Europe/Madrid")]
    currency: Currency


class Eligibility(Part, frozen=True):
    """Who may join. Without a birth date the shop has vouched for the age."""

    min_age: Annotated[int, Meta(ge=0, le=120)] | None = None
    kinds: list[Literal["person", "company"]] = field(default_factory=lambda: ["person"])
    one_account_a_person: bool = True


# What a rule is about: an activity, and for shares which kind of share.


class On(Part, frozen=True):
    activity: Literal["registration", "app_sign_in", "fuel_tap", "share", "review", "order"]
    kind: Literal["social", "link"] | None = None


class OrderScope(Part, frozen=True):
    """Which orders a rule is about, and which of their lines; or which may be paid with points.

    `online_at_pickup`: orders of the web shop and the app only when they are paid where they are picked up.
    `promotion_lines`: whether lines in a price-reducing promotion count too.
    """

    channels: Annotated[list[Channel], Meta(min_length=1)] | None = None
    refused_methods: list[PaymentMethod] = field(default_factory=list)
    online_at_pickup: bool = False
    promotion_lines: bool = True


# How often a rule pays. Each limit names the slots that a credit can take (`engage.domain.earning.slots`).


class Once(Part, frozen=True, tag="once"):
    """Once in a member's life."""


class OncePer(Part, frozen=True, tag="once_per"):
    """Once for each value of a field of the activity: the first review of each product, an order."""

    field: Literal["product_id", "order_id"]


class PerWindow(Part, frozen=True, tag="per_window"):
    """So many times in a calendar window of the member's zone."""

    count: Annotated[int, Meta(ge=1, le=SLOTS_PER_WINDOW)]
    window: WindowKind


class DailyStreak(Part, frozen=True, tag="daily_streak"):
    """Once a day, counting the days in a row."""


class SameAs(Part, frozen=True, tag="same_as"):
    """Whenever that other rule of the same activity gets its slot; takes none of its own."""

    rule: RuleId


Limit = Once | OncePer | PerWindow | DailyStreak | SameAs


# What a rule pays.


class Fixed(Part, frozen=True, tag="fixed"):
    points: Points


class EveryNthDay(Part, frozen=True, tag="every_nth_day"):
    """On day `days` of a streak, and again on day 2 × `days`, and so on."""

    points: Points
    days: Annotated[int, Meta(ge=2, le=366)]


class PerSpend(Part, frozen=True, tag="per_spend"):
    """For each whole step of what an order's lines cost, with or without shipping.

    Rounded down once an order, never a line. What points or coupons paid earns nothing.
    """

    points: Points
    # In minor units of the member's currency: 100 is one euro, 10,000 is ten thousand francs CFA.
    step_minor: Annotated[int, Meta(ge=1)]
    shipping: bool = False


class TagPoints(Part, frozen=True, tag="tag_points"):
    """The points that are printed on the price tags of an order's products."""


class Bracket(Part, frozen=True):
    from_minor: Annotated[int, Meta(ge=0)]
    points: Points


class Brackets(Part, frozen=True, tag="brackets"):
    """By the order's amount: the points of the highest bracket that it reaches."""

    brackets: Annotated[list[Bracket], Meta(min_length=1, max_length=50)]
    shipping: bool = False


Award = Fixed | EveryNthDay | PerSpend | TagPoints | Brackets


# When points become active.


class After(Part, frozen=True, tag="after"):
    """A fixed time after the activity."""

    delay: Annotated[timedelta, Meta(description="a duration (ISO 8601), such as PT5M, PT24H or P1D")]


class OnDelivery(Part, frozen=True, tag="on_delivery"):
    """When the order is delivered. Until then nobody knows when."""


class NextDay(Part, frozen=True, tag="next_day"):
    """At the start of the next day in the member's zone."""


Due = After | OnDelivery | NextDay


# When active points end.


class Never(Part, frozen=True, tag="never"):
    """Points do not expire."""


class Rolling(Part, frozen=True, tag="rolling"):
    """So many months after they became active, at the same local time."""

    months: Annotated[int, Meta(ge=1, le=120)]


class Yearly(Part, frozen=True, tag="yearly"):
    """At one instant of the year for all points that are older: the first such instant, in the member's zone,
    that is strictly later than `months` after they became active.
    """

    month: Annotated[int, Meta(ge=1, le=12)]
    day: Annotated[int, Meta(ge=1, le=31)]
    at: Annotated[time, Meta(tz=False, description="a local time, such as 12:00:00")]
    months: Annotated[int, Meta(ge=0, le=120)]


class EndOfYear(Part, frozen=True, tag="end_of_year"):
    """With the end of the year, in the member's zone, that lies `years_later` after the one they became
    active in.
    """

    years_later: Annotated[int, Meta(ge=0, le=10)]


Expiry = Never | Rolling | Yearly | EndOfYear


class Rule(Part, frozen=True):
    id: RuleId
    title: Title
    on: On
    limit: Limit
    award: Award
    due: Due
    # For rules about orders: which of them.
    orders: OrderScope = OrderScope()


# What points are good for.


class Worth(Part, frozen=True):
    """So many points are worth so much money of the member's country."""

    points: Points
    minor: Annotated[int, Meta(ge=1, le=1_000_000_000)]  # Minor units.


class Checkout(Part, frozen=True, kw_only=True):
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


class RewardLimit(Part, frozen=True):
    """So many of a reward for a member, in all or in each calendar window of their zone."""

    count: Annotated[int, Meta(ge=1, le=10_000)]
    window: WindowKind | None = None


class Reward(Part, frozen=True, kw_only=True):
    """What points can be exchanged for. A reward that is suspended is neither shown nor issued.

    `stock` is how many there are for all members, ever, over all versions.
    """

    id: RuleId
    title: Title
    points: Points
    valid_for: Annotated[timedelta | None, Meta(description="a duration (ISO 8601), such as P90D")] = None
    stock: Annotated[int, Meta(ge=0, le=1_000_000_000)] | None = None
    per_member: RewardLimit | None = None
    suspended: bool = False


class CouponReward(Reward, frozen=True, kw_only=True, tag="coupon"):
    """A discount on one order, in minor units of the member's currency, of what is left to pay of the lines
    that it may be used for.
    """

    value_minor: Annotated[int, Meta(ge=1, le=1_000_000_000)]
    min_order_minor: Annotated[int, Meta(ge=0)] = 0
    excluded_products: list[Identifier] = field(default_factory=list)


class FCodeReward(Reward, frozen=True, kw_only=True, tag="f_code"):
    """The right to buy a scarce product ahead of others; whoever has the code may use it."""

    product_id: Identifier


AnyReward = CouponReward | FCodeReward


class Coupons(Part, frozen=True, kw_only=True):
    """What holds for all coupons at checkout. While they are `suspended` none can be applied."""

    suspended: bool = False
    excluded_products: list[Identifier] = field(default_factory=list)
    per_order: Annotated[int, Meta(ge=1, le=10)] = 1


class Withdrawal(Part, frozen=True, kw_only=True):
    """Taking points out as money. Announced while `open` is false; `opens_at`, where it is known, says when.

    After a member's phone number has changed, nothing is paid out to it for `number_cooldown`.
    """

    open: bool
    opens_at: datetime | None = None
    methods: Annotated[list[Literal["cash", "mobile_money"]], Meta(min_length=1)]
    min_points: Points = 1
    max_points_a_day: Points | None = None
    max_count_a_day: Annotated[int, Meta(ge=1, le=1000)] | None = None
    number_cooldown: timedelta = timedelta()


class Cards(Part, frozen=True, kw_only=True):
    """`phone_is_card`: a member's mobile phone number is their card number; older cards stay good too."""

    phone_is_card: bool = False


class Program(Part, frozen=True, kw_only=True):
    """One version of a program. Published versions never change; a change is a new version."""

    id: ProgramId
    version: VersionName
    title: Title
    in_force_from: Annotated[
        date, Meta(description="a date, such as 2022-09-01: from its start in each member's zone")
    ]
    source: Annotated[Title | None, Meta(description="Where these rules are told to members")] = None
    countries: Annotated[dict[Country, Market], Meta(min_length=1)]
    eligibility: Eligibility
    expiry: Expiry
    # How long spent points can be used that come back, by a return, to a lot that has ended meanwhile.
    grace: Annotated[timedelta, Meta(description="a duration (ISO 8601), such as P30D")] = timedelta(days=30)
    # The longest that members were told they would wait for their points. The audit tells when it is broken.
    promise: Annotated[timedelta | None, Meta(description="a duration (ISO 8601), such as P16D")] = None
    cards: Cards = Cards()
    worth: Worth | None = None
    checkout: Checkout | None = None
    coupons: Coupons = Coupons()
    withdrawal: Withdrawal | None = None
    rewards: Annotated[list[AnyReward], Meta(max_length=500)] = field(default_factory=list)
    rules: Annotated[list[Rule], Meta(min_length=1, max_length=200)]
    examples: list[Example] = field(default_factory=list)

    def rule(self, rule_id: str) -> Rule:
        return next(rule for rule in self.rules if rule.id == rule_id)
