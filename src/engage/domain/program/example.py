"""The examples of a document: what a member does, and what has to come of it."""

from datetime import datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from msgspec import Meta

from engage.domain.activity import RuleActivity
from engage.domain.calendar import instant
from engage.domain.checkout.example_steps import (
    Capture,
    ExpectedPayment,
    ExpectedQuote,
    Hold,
    QuoteStep,
    Release,
    Spend,
)
from engage.domain.document.fields import Country, DocumentStruct, Title
from engage.domain.draws.example_steps import EnterDraw
from engage.domain.examples.expectations import ExpectedBalance, ExpectedCredit, ExpectedExpiration
from engage.domain.examples.steps import (
    Join,
    OrderCancelled,
    OrderDelivered,
    OrderReturnedStep,
    ReviewPublished,
    ReviewRemoved,
    ShareConfirmed,
    ShareRemoved,
    Wait,
)
from engage.domain.games.example_steps import ExpectedPlay, PlayGame
from engage.domain.protection.example_steps import ExpectedHold, StepOrigin
from engage.domain.quizzes.example_steps import AnswerQuiz, ExpectedGrade, ExpectedPaper, StartQuiz
from engage.domain.referrals.example_steps import FriendJoins, FriendOrders, FriendReturns, UseFriendsCode
from engage.domain.refusals import Code
from engage.domain.rewards.example_steps import ExpectedCode, Redeem
from engage.domain.streaks.example_steps import BuyFreeze, ExpectedStreak
from engage.domain.tiers.example_steps import ExpectedTier
from engage.domain.withdrawals.example_steps import Withdraw

ExpectedRefusal = Annotated[Code, Meta(description="the code of a refusal, such as sold_out")]

# One line for each package that brings steps.
AnyAction = (
    (Join | Wait | OrderDelivered | OrderCancelled | OrderReturnedStep)
    | (ReviewPublished | ReviewRemoved | ShareConfirmed | ShareRemoved)
    | (QuoteStep | Hold | Spend | Capture | Release)
    | Redeem
    | Withdraw
    | PlayGame
    | EnterDraw
    | (StartQuiz | AnswerQuiz)
    | (FriendJoins | FriendOrders | FriendReturns | UseFriendsCode)
    | BuyFreeze
)


class TimedStep(DocumentStruct, frozen=True):
    """An activity or another action, once or again on each of `days`."""

    at: datetime  # Without an offset: local time of the member's country.
    do: RuleActivity | AnyAction
    days: Annotated[int, Meta(ge=1, le=1000)] = 1
    origin: StepOrigin | None = None  # Of what members do in the app.

    def instants(self, zone: str) -> list[datetime]:
        """The times of the step in UTC: the same local time on each of its days."""
        first = self.at if self.at.tzinfo is None else self.at.astimezone(ZoneInfo(zone))
        later = [(first + timedelta(days=n)).replace(tzinfo=None) for n in range(1, self.days)]
        return [instant(self.at, zone), *(instant(clock, zone) for clock in later)]


class Step(TimedStep, frozen=True):
    """An action and its expected outcome.

    `balance`, `expiring` (all active points, by their end), `streak` and `tiers` are compared after the last
    day.
    """

    earns: list[ExpectedCredit] | None = None
    refused: ExpectedRefusal | None = None
    quotes: ExpectedQuote | None = None
    pays: ExpectedPayment | None = None
    gives: ExpectedCode | None = None
    wins: ExpectedPlay | None = None
    asks: ExpectedPaper | None = None
    grades: ExpectedGrade | None = None
    held: ExpectedHold | None = None
    balance: ExpectedBalance | None = None
    streak: ExpectedStreak | None = None
    expiring: list[ExpectedExpiration] | None = None
    tiers: list[ExpectedTier] | None = None


class Example(DocumentStruct, frozen=True):
    """One new member of a country, and their steps."""

    title: Title
    country: Country
    steps: Annotated[list[Step], Meta(min_length=1)]
    total: Annotated[int, Meta(ge=0, le=1_000_000_000_000)] | None = (
        None  # The points of all credits of the example.
    )
