"""One version of a program, as data: the envelope of a document. Features define its sections."""

from datetime import date, timedelta
from functools import cached_property
from typing import Annotated

from msgspec import Meta, field

from engage.domain.accounts.expiry import Expiry
from engage.domain.challenges.definition import Challenge
from engage.domain.checkout.definition import Checkout
from engage.domain.document.fields import Country, DocumentStruct, ProgramId, Title, VersionName
from engage.domain.document.order_scope import OrderScope
from engage.domain.document.worth import Worth
from engage.domain.draws.definition import Draw
from engage.domain.earning.definition import Rule
from engage.domain.earning.index import index_rules
from engage.domain.earning.terms import EarningTerms
from engage.domain.games.definition import Game
from engage.domain.leaderboards.definition import Leaderboard
from engage.domain.market import Market
from engage.domain.members.definition import Cards, Eligibility
from engage.domain.program.example import Example
from engage.domain.protection.definition import Protection
from engage.domain.quizzes.definition import Quiz
from engage.domain.referrals.definition import ReferralTerms
from engage.domain.rewards.definition import AnyReward, Coupons
from engage.domain.tiers.definition import TierGroup
from engage.domain.withdrawals.definition import WithdrawalTerms


class Program(DocumentStruct, frozen=True, kw_only=True, dict=True):
    """One version of a program. Published versions never change; a change is a new version."""

    id: ProgramId
    version: VersionName
    title: Title
    in_force_from: Annotated[
        date, Meta(description="a date, such as 2022-09-01: from its start in each member's zone")
    ]
    source: Annotated[
        Title | None,
        Meta(description="where members can read these rules: one line of text, at most 200 long"),
    ] = None
    countries: Annotated[dict[Country, Market], Meta(min_length=1)]
    eligibility: Eligibility
    expiry: Expiry
    # How long returned points and coupons can be used if they expired while they were spent.
    grace: Annotated[timedelta, Meta(description="a duration (ISO 8601), such as P30D")] = timedelta(days=30)
    # The longest wait for points that members were promised. The audit reports deliveries that break it.
    promise: Annotated[timedelta | None, Meta(description="a duration (ISO 8601), such as P16D")] = None
    four_eyes: Annotated[
        bool, Meta(description="whether nobody may approve a version of a campaign that they wrote")
    ] = True
    cards: Cards = Cards()
    worth: Worth | None = None
    checkout: Checkout | None = None
    coupons: Coupons = Coupons()
    withdrawal: WithdrawalTerms | None = None
    referral: ReferralTerms | None = None
    protection: Protection | None = None
    rewards: Annotated[list[AnyReward], Meta(max_length=500)] = field(default_factory=list)
    leaderboards: Annotated[list[Leaderboard], Meta(max_length=50)] = field(default_factory=list)
    games: Annotated[list[Game], Meta(max_length=100)] = field(default_factory=list)
    challenges: Annotated[list[Challenge], Meta(max_length=100)] = field(default_factory=list)
    quizzes: Annotated[list[Quiz], Meta(max_length=100)] = field(default_factory=list)
    rules: Annotated[list[Rule], Meta(min_length=1, max_length=200)]
    draws: Annotated[list[Draw], Meta(max_length=100)] = field(default_factory=list)
    tier_groups: Annotated[list[TierGroup], Meta(max_length=10)] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)

    @property
    def paying_scope(self) -> OrderScope:
        """The orders and lines that points can pay; all of them without a checkout."""
        return OrderScope() if self.checkout is None else self.checkout.orders

    @cached_property
    def earning(self) -> EarningTerms:
        """The earning terms, with the rules indexed once per version."""
        rules = index_rules(self.rules)
        return EarningTerms(program=self.id, version=self.version, expiry=self.expiry, rules=rules)
