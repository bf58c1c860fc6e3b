"""Rewards and coupon terms in a program document."""

from datetime import timedelta
from typing import Annotated

from msgspec import Meta, field

from engage.domain.activity import Identifier
from engage.domain.calendar import WindowKind
from engage.domain.document.fields import DocumentStruct, Points, RuleId, Title


class RewardLimit(DocumentStruct, frozen=True):
    """The most of a reward for one member: ever, or in each calendar window of their zone."""

    count: Annotated[int, Meta(ge=1, le=10_000)]
    window: WindowKind | None = None


class Reward(DocumentStruct, frozen=True, kw_only=True):
    """A reward that points are exchanged for. A suspended one is neither shown nor issued.

    `stock` counts all members and all versions.
    """

    id: RuleId
    title: Title
    points: Points
    valid_for: Annotated[timedelta | None, Meta(description="a duration (ISO 8601), such as P90D")] = None
    stock: Annotated[int, Meta(ge=0, le=1_000_000_000)] | None = None
    per_member: RewardLimit | None = None
    suspended: bool = False


class CouponReward(Reward, frozen=True, kw_only=True, tag="coupon"):
    """A discount on one order, in minor units of the member's currency, and at most what is left to pay of
    the lines that it applies to.
    """

    value_minor: Annotated[int, Meta(ge=1, le=1_000_000_000)]
    min_order_minor: Annotated[int, Meta(ge=0)] = 0
    excluded_products: list[Identifier] = field(default_factory=list)


class FCodeReward(Reward, frozen=True, kw_only=True, tag="f_code"):
    """The right to buy a scarce product before others. Anyone who has the code can use it."""

    product_id: Identifier


AnyReward = CouponReward | FCodeReward


class Coupons(DocumentStruct, frozen=True, kw_only=True):
    """Terms of all coupons at the checkout. While they are `suspended` none can be applied."""

    suspended: bool = False
    excluded_products: list[Identifier] = field(default_factory=list)
    per_order: Annotated[int, Meta(ge=1, le=10)] = 1
