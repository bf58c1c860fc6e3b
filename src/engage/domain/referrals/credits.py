"""The credits of an approved referral."""

from datetime import datetime

from engage.domain.activity import ReferralApproval
from engage.domain.earning.credit import NewCredit, new_credit
from engage.domain.earning.terms import EarningTerms
from engage.domain.earning.trace import TraceCode, step
from engage.domain.keys import referral_key, referral_rule
from engage.domain.referrals.definition import ReferralReward, ReferralTerms, Side
from engage.domain.referrals.referral import Referral


def decide_reward(
    earning: EarningTerms, terms: ReferralTerms, referral: Referral, side: Side, *, at: datetime, zone: str
) -> NewCredit:
    """The points that one side is paid on approval at `at`. `zone` is that member's."""
    reward = terms.reward(side)
    assert reward is not None
    rule = referral_rule(side)
    return new_credit(
        earning,
        rule,
        reward.points,
        ReferralApproval(referral_id=referral.id),
        due=terms.due,
        source_key=referral_key(side, referral.id),
        inputs={"claimed_at": referral.claimed_at, "condition": reward.on},
        at=at,
        zone=zone,
        trace=[step(_code(side, reward), rule=rule, points=reward.points)],
    )


def _code(side: Side, reward: ReferralReward) -> TraceCode:
    if side == "friend":
        return TraceCode.INVITED
    return TraceCode.FRIEND_JOINED if reward.on == "registration" else TraceCode.FRIEND_ORDERED
