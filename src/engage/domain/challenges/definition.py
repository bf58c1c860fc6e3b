"""A challenge: its goal, its steps, and how often it begins anew."""

from collections.abc import Sequence
from typing import Annotated, Final, Literal, get_args

from msgspec import Meta

from engage.domain.activity import AnyActivity
from engage.domain.calendar import PeriodKind
from engage.domain.definitions.definition import Scheduled
from engage.domain.document.fields import DocumentStruct, Points, RuleId
from engage.domain.earning.due import USUAL, After, NextDay

STEPS_PER_CHALLENGE: Final = 20
GOALS_PER_CHALLENGE: Final = 10

# What a challenge pays counts for no challenge, or one could keep itself reached.
COUNTED: Final = frozenset(str(each.__struct_config__.tag) for each in get_args(AnyActivity)) - {
    "challenge_step"
}
WITH_PRODUCTS: Final = frozenset({"review", "share", "order"})

Amount = Annotated[int, Meta(ge=1, le=1_000_000_000_000)]
ActivityName = Annotated[str, Meta(description="the name of an activity, such as fuel_tap")]


class Goal(DocumentStruct, frozen=True, tag_field="kind"):
    """Base of the goals. Each is a number that what the member does adds to."""


class Count(Goal, frozen=True, tag="count", kw_only=True):
    """Times that the member did an activity that earned something. An order counts when it is paid."""

    activity: ActivityName


class DistinctProducts(Goal, frozen=True, tag="distinct_products", kw_only=True):
    """Different products that the member reviewed, shared or ordered."""

    activity: ActivityName


class SpendMinor(Goal, frozen=True, tag="spend_minor"):
    """Minor units that the member paid for the lines of orders, without what points and coupons paid."""


class PointsEarned(Goal, frozen=True, tag="points_earned"):
    """The points that the member earned, pending ones included, without those of challenges."""


class CountPart(Count, frozen=True, tag="count", kw_only=True):
    of: Amount


class DistinctProductsPart(DistinctProducts, frozen=True, tag="distinct_products", kw_only=True):
    of: Amount


class SpendMinorPart(SpendMinor, frozen=True, tag="spend_minor", kw_only=True):
    of: Amount


class PointsEarnedPart(PointsEarned, frozen=True, tag="points_earned", kw_only=True):
    of: Amount


Part = CountPart | DistinctProductsPart | SpendMinorPart | PointsEarnedPart


class AllOf(Goal, frozen=True, tag="all_of", kw_only=True):
    """Several goals, each with the number that reaches it. The progress is how many are reached."""

    goals: Annotated[list[Part], Meta(min_length=1, max_length=GOALS_PER_CHALLENGE)]


OneGoal = Count | DistinctProducts | SpendMinor | PointsEarned
AnyGoal = OneGoal | AllOf


class ChallengeStep(DocumentStruct, frozen=True, kw_only=True):
    """Reached where the progress is `at`. It pays points, gives a reward without its price, or both."""

    at: Amount
    points: Points | None = None
    reward: RuleId | None = None


Repeats = Literal["daily", "weekly", "monthly"]

PERIODS: Final[dict[Repeats | None, PeriodKind]] = {
    None: "ever",
    "daily": "day",
    "weekly": "week",
    "monthly": "month",
}


class Challenge(Scheduled, frozen=True, kw_only=True):
    """`repeats`: it begins anew in each day, week (from Monday) or month of the member's zone."""

    repeats: Repeats | None = None
    goal: AnyGoal
    steps: Annotated[list[ChallengeStep], Meta(min_length=1, max_length=STEPS_PER_CHALLENGE)]
    due: After | NextDay = USUAL

    @property
    def period(self) -> PeriodKind:
        return PERIODS[self.repeats]

    @property
    def goals(self) -> Sequence[OneGoal]:
        """The goals that facts are counted for: several of an `all_of`, otherwise the one."""
        return self.goal.goals if isinstance(self.goal, AllOf) else [self.goal]
