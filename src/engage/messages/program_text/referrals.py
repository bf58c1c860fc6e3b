"""Invitations of friends."""

from engage.domain.program.program import Program
from engage.domain.referrals.definition import SIDES, ReferralReward, Side
from engage.messages.program_text.description import Description
from engage.messages.program_text.wording import Wording


def describe(program: Program, words: Wording) -> Description:
    terms = program.referral
    if terms is None:
        return Description()
    sentences = [_reward(side, reward, words) for side in SIDES if (reward := terms.reward(side)) is not None]
    parts = [words.text("referral.hold", length=words.duration(terms.hold))]
    if terms.account_age_max is not None:
        parts.append(words.text("referral.age", length=words.duration(terms.account_age_max)))
    if terms.limit is not None:
        many = words.per(terms.limit.count, terms.limit.window)
        parts.append(words.text("referral.limit", many=many))
    if terms.from_ is not None:
        parts.append(words.text("referral.from", date=words.local(terms.from_)))
    return Description([*sentences, "; ".join(parts) + "."])


def _reward(side: Side, reward: ReferralReward, words: Wording) -> str:
    points = words.points(reward.points)
    if reward.on == "registration":
        return words.text(f"referral.{side}.registration", points=points)
    if reward.min_spend_minor is None:
        return words.text(f"referral.{side}.order", points=points)
    money = words.money(reward.min_spend_minor)
    return words.text(f"referral.{side}.order_from", points=points, money=money)
