"""The terms of referrals in a program document."""

from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

from msgspec import Meta, field

from engage.domain.calendar import PeriodKind, instant
from engage.domain.definitions.definition import Moment
from engage.domain.document.fields import DocumentStruct, Points
from engage.domain.earning.due import USUAL, After, NextDay

# Each character has five bits. Guessing a code gains nothing: it pays the one whose code it is.
SHORTEST_CODE, LONGEST_CODE = 6, 20

Side = Literal["advocate", "friend"]
SIDES: Final[tuple[Side, ...]] = ("advocate", "friend")

Condition = Literal["registration", "first_order_delivered"]

Url = Annotated[
    str,
    Meta(
        max_length=500,
        pattern=r"^https?://[^\s{}]*\{code\}[^\s{}]*(?!\n)$",
        description="an http or https address, in which {code} stands for the code",
    ),
]


class ReferralLimit(DocumentStruct, frozen=True):
    """The most friends of one member: ever, or in each calendar window of the member's zone."""

    count: Annotated[int, Meta(ge=1, le=10_000)]
    window: PeriodKind = "ever"


class ReferralReward(DocumentStruct, frozen=True):
    """The points of one side, and their condition: that the friend has registered, or that the friend's
    first order was delivered.

    `min_spend_minor`: the amount that the friend has to keep of that order, in minor units of their currency.
    """

    on: Condition
    points: Points
    min_spend_minor: Annotated[int, Meta(ge=1, le=1_000_000_000)] | None = None


class ReferralTerms(DocumentStruct, frozen=True, kw_only=True):
    """Members invite friends by a code, and either side is paid once the referral is approved.

    A friend's account may be `account_age_max` old when the code is used. `hold` begins when a condition is
    met; what is returned within it is never paid.
    """

    code_length: Annotated[int, Meta(ge=SHORTEST_CODE, le=LONGEST_CODE)] = 8
    account_age_max: Annotated[timedelta | None, Meta(description="a duration (ISO 8601), such as P3D")] = (
        None
    )
    limit: ReferralLimit | None = None
    advocate: ReferralReward | None = None
    friend: ReferralReward | None = None
    hold: Annotated[timedelta, Meta(description="a duration (ISO 8601), such as P7D")] = timedelta(days=7)
    due: After | NextDay = USUAL
    # Since when codes can be used, if not as long as the version is in force.
    from_: Moment | None = field(name="from", default=None)
    # The address that an invitation leads to. Without one it is the page of this installation.
    url: Url | None = None

    def is_open(self, at: datetime, zone: str) -> bool:
        """Tell whether codes can be used at an instant by a member of that zone."""
        return self.from_ is None or at >= instant(self.from_, zone)

    def reward(self, side: Side) -> ReferralReward | None:
        return self.advocate if side == "advocate" else self.friend

    @property
    def pays_for_orders(self) -> bool:
        """A condition is about an order of the friend."""
        return any(
            reward is not None and reward.on == "first_order_delivered"
            for reward in (self.advocate, self.friend)
        )
