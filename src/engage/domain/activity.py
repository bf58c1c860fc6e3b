"""Activities of members, as the rules see them: one union, tagged by `activity`; and what else is paid."""

from typing import Annotated, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from engage.domain.keys import (
    challenge_reference,
    draw_reference,
    order_reference,
    quiz_reference,
    referral_reference,
    review_reference,
    share_reference,
)

# Text without control characters. A $ alone would let a newline through at the end.
ONE_LINE = r"^[^\x00-\x1f\x7f]+(?!\n)$"

# Identifiers of the shop. They become part of source keys, so they are one line of limited length; all other
# characters are the shop's choice.
Identifier = Annotated[
    str,
    Meta(min_length=1, max_length=128, pattern=ONE_LINE, description="1 to 128 characters on one line"),
]

Network = Annotated[
    str, Meta(min_length=1, max_length=32, pattern=ONE_LINE, description="1 to 32 characters on one line")
]

# A member's id is part of keys in Valkey, where braces mark the hash tag.
MemberId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z0-9._~:@+|-]+(?!\n)$",
        description="the shop's id of a member, 1 to 64 letters, digits and ._~:@+-|",
    ),
]


class Activity(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="activity"):
    """Base of the union below."""

    @property
    def reference(self) -> str | None:
        """The name by which the shop can take the activity back, unique for a member."""
        return None

    @property
    def qualifier(self) -> str | None:
        """The part that rules tell activities of one name apart by: a share's kind, a visit's page."""
        return None


class FuelTap(Activity, frozen=True, tag="fuel_tap"):
    """The member touched the fuel button in the app."""


class Registration(Activity, frozen=True, tag="registration"):
    """The member joined the program."""


class AppSignIn(Activity, frozen=True, tag="app_sign_in", kw_only=True):
    """The member signed in to the app. The event's id distinguishes sign-ins."""

    event_id: Identifier | None = None

    @property
    def reference(self) -> str | None:
        return None if self.event_id is None else f"event:{self.event_id}"


class Share(Activity, frozen=True, tag="share", kw_only=True):
    """The member shared on a social network, or shared a product link."""

    kind: Literal["social", "link"]
    product_id: Identifier
    network: Network | None = None
    share_id: Identifier | None = None

    @property
    def reference(self) -> str | None:
        return None if self.share_id is None else share_reference(self.share_id)

    @property
    def qualifier(self) -> str:
        return self.kind


class Review(Activity, frozen=True, tag="review", kw_only=True):
    """The member published a review of a product."""

    product_id: Identifier
    review_id: Identifier

    @property
    def reference(self) -> str | None:
        return review_reference(self.review_id)


class Visit(Activity, frozen=True, tag="visit", kw_only=True):
    """The member visited a page of the shop or of the app."""

    page: Identifier

    @property
    def qualifier(self) -> str:
        return self.page


class Birthday(Activity, frozen=True, tag="birthday", kw_only=True):
    """It is the member's birthday in this year."""

    year: Annotated[int, Meta(ge=1900, le=2200)]


Channel = Literal["web", "app", "store"]

# An open list: the shop names its own payment methods.
PaymentMethod = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=32,
        pattern=r"^[a-z0-9_]+(?!\n)$",
        description="a way of paying, 1 to 32 small letters, digits and _",
    ),
]

MinorUnits = Annotated[int, Meta(ge=0, le=1_000_000_000_000)]

LINES_PER_ORDER = 500


class Payment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`at_pickup`: paid at pickup; null if the shop did not say."""

    method: PaymentMethod
    at_pickup: bool | None = None


class Line(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line of an order. `paid` is for its whole quantity, in minor units, after the shop's own discounts;
    `tag_points` are printed on the price tag of one piece. `category` is the shop's own name of a group of
    products.
    """

    line_id: Identifier
    product_id: Identifier
    # Unset, it leaves no trace: an order that an earlier release took is the same in this one.
    category: Identifier | UnsetType = UNSET
    quantity: Annotated[int, Meta(ge=1, le=100_000)] = 1
    paid: MinorUnits
    promotion: bool = False
    tag_points: Annotated[int, Meta(ge=0, le=1_000_000)] = 0


Lines = Annotated[list[Line], Meta(min_length=1, max_length=LINES_PER_ORDER)]


class Order(Activity, frozen=True, tag="order", kw_only=True):
    """The member paid an order.

    `discount` is what points and coupons paid of it, in minor units: it earns nothing.
    """

    order_id: Identifier
    channel: Channel
    payment: Payment
    lines: Lines
    shipping: MinorUnits = 0
    currency: Annotated[
        str,
        Meta(
            pattern=r"^[A-Z]{3}(?!\n)$",
            description="a currency's three letters (ISO 4217), such as EUR",
        ),
    ]
    discount: Annotated[int, Meta(ge=0, le=1_000_000_000_000)] = 0

    @property
    def reference(self) -> str | None:
        return order_reference(self.order_id)


# Activities that rules can be about, and that examples do.
RuleActivity = FuelTap | Registration | AppSignIn | Share | Review | Visit | Birthday | Order


class GamePlay(Activity, frozen=True, tag="game_play", kw_only=True):
    """The member played a game and won. Plays of a run of the game are numbered."""

    game_id: Identifier
    run: Annotated[int, Meta(ge=1)]
    number: Annotated[int, Meta(ge=1)]


class DrawPrize(Activity, frozen=True, tag="draw_prize", kw_only=True):
    """The member's entry has won a draw."""

    draw_id: Identifier
    number: int

    @property
    def reference(self) -> str | None:
        return draw_reference(self.draw_id, self.number)


class ReferralApproval(Activity, frozen=True, tag="referral", kw_only=True):
    """A referral was approved, in which the member is the advocate or the friend."""

    referral_id: UUID

    @property
    def reference(self) -> str | None:
        return referral_reference(self.referral_id)


class StepReached(Activity, frozen=True, tag="challenge_step", kw_only=True):
    """The member reached a step of a challenge in a period: the progress `step`, for the `number`th time."""

    challenge_id: Identifier
    period: Identifier
    step: int
    number: int = 1

    @property
    def reference(self) -> str:
        return challenge_reference(self.challenge_id, self.period, self.step, self.number)


class QuizAttempt(Activity, frozen=True, tag="quiz_attempt", kw_only=True):
    """The member answered an attempt at a quiz."""

    quiz_id: Identifier
    attempt_id: UUID

    @property
    def reference(self) -> str | None:
        return quiz_reference(self.attempt_id)


class BoardRank(Activity, frozen=True, tag="board_rank", kw_only=True):
    """The member had a rank of a leaderboard at the end of a period."""

    board_id: Identifier
    period: Identifier
    rank: Annotated[int, Meta(ge=1)]


# With those that definitions pay for.
AnyActivity = RuleActivity | GamePlay | BoardRank | DrawPrize | ReferralApproval | StepReached | QuizAttempt
