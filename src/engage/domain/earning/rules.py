"""Earning rules as data: what a rule is about, how often it pays, how much, and when points become active."""

from datetime import timedelta
from typing import Annotated, Literal

from msgspec import Meta

from engage.domain.calendar import WindowKind
from engage.domain.document.fields import DocumentStruct, Points, RuleId, Title
from engage.domain.document.order_scope import OrderScope

# The gate keeps the slots of a window as bits of one 32-bit number.
SLOTS_PER_WINDOW = 32


# What a rule is about: an activity, and for shares which kind of share.


class On(DocumentStruct, frozen=True):
    activity: Literal["registration", "app_sign_in", "fuel_tap", "share", "review", "order"]
    kind: Literal["social", "link"] | None = None


# How often a rule pays. Each limit names the slots that a credit can take (`engage.domain.earning.slots`).


class Once(DocumentStruct, frozen=True, tag="once"):
    """Once in a member's life."""


class OncePer(DocumentStruct, frozen=True, tag="once_per"):
    """Once for each value of a field of the activity: the first review of each product, an order."""

    field: Literal["product_id", "order_id"]


class PerWindow(DocumentStruct, frozen=True, tag="per_window"):
    """So many times in a calendar window of the member's zone."""

    count: Annotated[int, Meta(ge=1, le=SLOTS_PER_WINDOW)]
    window: WindowKind


class DailyStreak(DocumentStruct, frozen=True, tag="daily_streak"):
    """Once a day, counting the days in a row."""


class SameAs(DocumentStruct, frozen=True, tag="same_as"):
    """Whenever that other rule of the same activity gets its slot; takes none of its own."""

    rule: RuleId


Limit = Once | OncePer | PerWindow | DailyStreak | SameAs


# What a rule pays.


class Fixed(DocumentStruct, frozen=True, tag="fixed"):
    points: Points


class EveryNthDay(DocumentStruct, frozen=True, tag="every_nth_day"):
    """On day `days` of a streak, and again on day 2 × `days`, and so on."""

    points: Points
    days: Annotated[int, Meta(ge=2, le=366)]


class PerSpend(DocumentStruct, frozen=True, tag="per_spend"):
    """For each whole step of what an order's lines cost, with or without shipping.

    Rounded down once an order, never a line. What points or coupons paid earns nothing.
    """

    points: Points
    # In minor units of the member's currency: 100 is one euro, 10,000 is ten thousand francs CFA.
    step_minor: Annotated[int, Meta(ge=1)]
    shipping: bool = False


class TagPoints(DocumentStruct, frozen=True, tag="tag_points"):
    """The points that are printed on the price tags of an order's products."""


class Bracket(DocumentStruct, frozen=True):
    from_minor: Annotated[int, Meta(ge=0)]
    points: Points


class Brackets(DocumentStruct, frozen=True, tag="brackets"):
    """By the order's amount: the points of the highest bracket that it reaches."""

    brackets: Annotated[list[Bracket], Meta(min_length=1, max_length=50)]
    shipping: bool = False


Award = Fixed | EveryNthDay | PerSpend | TagPoints | Brackets


# When points become active.


class After(DocumentStruct, frozen=True, tag="after"):
    """A fixed time after the activity."""

    delay: Annotated[timedelta, Meta(description="a duration (ISO 8601), such as PT5M, PT24H or P1D")]


class OnDelivery(DocumentStruct, frozen=True, tag="on_delivery"):
    """When the order is delivered. Until then nobody knows when."""


class NextDay(DocumentStruct, frozen=True, tag="next_day"):
    """At the start of the next day in the member's zone."""


Due = After | OnDelivery | NextDay


class Rule(DocumentStruct, frozen=True):
    id: RuleId
    title: Title
    on: On
    limit: Limit
    award: Award
    due: Due
    # For rules about orders: which of them.
    orders: OrderScope = OrderScope()
