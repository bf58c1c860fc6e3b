"""A document proves itself by examples: given what a member does, expect what comes of it.

An example is one new member. What they do is an activity, as the app or the shop tells of it, or one of the
deeds below: what becomes of an order, what points are spent on, or nothing but time.
"""

from datetime import date, datetime
from typing import Annotated, Literal

from msgspec import Meta, field

from engage.domain.activity import AnyActivity, Channel, Identifier, Lines, MinorUnits, Payment
from engage.domain.document.fields import Country, Currency, DocumentStruct, Points, RuleId, Title
from engage.domain.refusals import Code

ExpectedRefusal = Annotated[Code, Meta(description="the code of a refusal, such as sold_out")]

Spent = Annotated[int, Meta(ge=0, le=1_000_000_000)]


class Action(DocumentStruct, frozen=True, tag_field="activity"):
    """Base of what a member or the shop does that is no activity."""


class Join(Action, frozen=True, kw_only=True, tag="join"):
    """Somebody wants to join, and earns what joining pays. Without a birth date the shop knows their age."""

    kind: Literal["person", "company"] = "person"
    birth_date: date | None = None


class Wait(Action, frozen=True, tag="wait"):
    """Nothing but time passes."""


class OrderDelivered(Action, frozen=True, tag="order_delivered"):
    order_id: Identifier


class OrderCancelled(Action, frozen=True, tag="order_cancelled"):
    order_id: Identifier


class OrderReturned(Action, frozen=True, tag="order_returned"):
    """So many pieces of which lines came back, by line id; everything where there are no `lines`."""

    order_id: Identifier
    lines: dict[Identifier, Annotated[int, Meta(ge=1, le=100_000)]] | None = None


class ReviewRemoved(Action, frozen=True, tag="review_removed"):
    review_id: Identifier


class ShareRemoved(Action, frozen=True, tag="share_removed"):
    share_id: Identifier


class Quote(Action, frozen=True, kw_only=True, tag="quote"):
    """The checkout asks what an order may be paid with. Its currency is that of the member's country unless
    it says another.
    """

    channel: Channel
    payment: Payment
    lines: Lines
    shipping: MinorUnits = 0
    currency: Currency | None = None


class Hold(Quote, frozen=True, kw_only=True, tag="hold"):
    """Points are set aside to pay an order, and coupons applied to it: the first ones there are of these
    rewards. The order itself is a later step; it earns nothing for what they pay.
    """

    order_id: Identifier
    points: Spent | Literal["max"]
    coupons: list[RuleId] = field(default_factory=list)


class Spend(Hold, frozen=True, kw_only=True, tag="spend"):
    """All at once: the hold, the order that it pays, and its capture."""


class Capture(Action, frozen=True, tag="capture"):
    """What an order's hold keeps is spent."""

    order_id: Identifier


class Release(Action, frozen=True, tag="release"):
    """What an order's hold keeps goes back to the member."""

    order_id: Identifier


class Redeem(Action, frozen=True, tag="redeem"):
    """Points are exchanged for a reward."""

    reward_id: RuleId


class Withdraw(Action, frozen=True, tag="withdraw"):
    """Points are taken out as money."""

    points: Points
    method: Literal["cash", "mobile_money"]


AnyAction = (
    Join
    | Wait
    | OrderDelivered
    | OrderCancelled
    | OrderReturned
    | ReviewRemoved
    | ShareRemoved
    | Quote
    | Hold
    | Spend
    | Capture
    | Release
    | Redeem
    | Withdraw
)


# What has to come of a step. Times without an offset are the local time of the example's country.


class ExpectedCredit(DocumentStruct, frozen=True):
    """`waits_for` is written instead of `due_at` where nobody knows yet when the points become active."""

    rule: RuleId
    points: Points
    source_key: str | None = None
    due_at: datetime | None = None
    expires_at: datetime | None = None
    waits_for: Literal["delivery"] | None = None


class ExpectedBalance(DocumentStruct, frozen=True):
    """What is not written is 0."""

    active: Spent = 0
    pending: Spent = 0
    held: Spent = 0
    debt: Spent = 0


class ExpectedEnd(DocumentStruct, frozen=True):
    """So many active points end then, or never."""

    points: Points
    expires_at: datetime | None = None


class ExpectedCoupon(DocumentStruct, frozen=True):
    """What the checkout says of a coupon: what it takes off, or else why it takes off nothing."""

    reward: RuleId
    discount_minor: Spent = 0
    reasons: list[str] = field(default_factory=list)


class ExpectedQuote(DocumentStruct, frozen=True):
    """The most points that may be paid with, what they are worth, and why no more."""

    max_points: Spent
    discount_minor: Spent
    reasons: list[str] | None = None
    coupons: list[ExpectedCoupon] | None = None


class ExpectedPayment(DocumentStruct, frozen=True):
    """What points and coupons pay of an order."""

    points: Spent
    discount_minor: Spent


class ExpectedCode(DocumentStruct, frozen=True):
    """What a reward gives: a coupon's value, or the product that an F-code is for."""

    value_minor: Spent | None = None
    product_id: Identifier | None = None
    expires_at: datetime | None = None


class Step(DocumentStruct, frozen=True):
    """Something done once, or again each day, and what has to come of it.

    `balance` and `expiring`, all that is active by when it ends, are as they are after the last of the days.
    """

    at: datetime  # Without an offset: local time of the example's country.
    do: AnyActivity | AnyAction
    earns: list[ExpectedCredit] | None = None
    refused: ExpectedRefusal | None = None
    quotes: ExpectedQuote | None = None
    pays: ExpectedPayment | None = None
    gives: ExpectedCode | None = None
    balance: ExpectedBalance | None = None
    expiring: list[ExpectedEnd] | None = None
    days: Annotated[int, Meta(ge=1, le=1000)] = 1


class Example(DocumentStruct, frozen=True):
    title: Title
    country: Country
    steps: Annotated[list[Step], Meta(min_length=1)]
    total: int | None = None  # Sum of the points of all credits of the example.
