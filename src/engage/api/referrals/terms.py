"""The terms of referrals as the app shows them."""

from datetime import datetime, timedelta

from msgspec import Struct

from engage.domain.calendar import PeriodKind, instant
from engage.domain.market import Market
from engage.domain.money import Money
from engage.domain.referrals.definition import Condition, ReferralReward, ReferralTerms


class ReferralRewardView(Struct, frozen=True, kw_only=True):
    """The points of one side, once the friend has joined or received a first order of `min_spend`."""

    points: int
    on: Condition
    min_spend: Money | None


class ReferralLimitView(Struct, frozen=True, kw_only=True):
    """The most friends of a member in a window."""

    count: int
    window: PeriodKind


class ReferralTermsView(Struct, frozen=True, kw_only=True):
    """The terms of invitations. `opens_at`: since when codes can be used, null if always. `hold` begins when
    a condition is met, and points are granted after it. A code can be used while the account is no older
    than `account_age_max`.
    """

    opens_at: datetime | None
    advocate: ReferralRewardView | None
    friend: ReferralRewardView | None
    hold: timedelta
    account_age_max: timedelta | None
    limit: ReferralLimitView | None


def referral_view(terms: ReferralTerms, market: Market) -> ReferralTermsView:
    limit = terms.limit
    return ReferralTermsView(
        opens_at=None if terms.from_ is None else instant(terms.from_, market.zone),
        advocate=_reward(terms.advocate, market.currency),
        friend=_reward(terms.friend, market.currency),
        hold=terms.hold,
        account_age_max=terms.account_age_max,
        limit=None if limit is None else ReferralLimitView(count=limit.count, window=limit.window),
    )


def _reward(reward: ReferralReward | None, currency: str) -> ReferralRewardView | None:
    if reward is None:
        return None
    least = reward.min_spend_minor
    min_spend = None if least is None else Money(least, currency)
    return ReferralRewardView(points=reward.points, on=reward.on, min_spend=min_spend)
