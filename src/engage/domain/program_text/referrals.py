"""Invitations of friends."""

from engage.domain.program.program import Program
from engage.domain.program_text.description import Description
from engage.domain.program_text.wording import duration, money
from engage.domain.referrals.definition import SIDES, ReferralReward, Side


def describe(program: Program) -> Description:
    terms = program.referral
    if terms is None:
        return Description()
    sentences = [
        _reward(side, reward, program) for side in SIDES if (reward := terms.reward(side)) is not None
    ]
    words = [f"Referrals are approved {duration(terms.hold)} after that"]
    if terms.account_age_max is not None:
        words.append(f"a code can be used until {duration(terms.account_age_max)} after joining")
    if terms.limit is not None:
        window = "in all" if terms.limit.window == "ever" else f"a {terms.limit.window}"
        words.append(f"at most {terms.limit.count} friends {window}")
    if terms.from_ is not None:
        words.append(f"from {terms.from_:%Y-%m-%d %H:%M} on")
    return Description([*sentences, "; ".join(words) + "."])


def _reward(side: Side, reward: ReferralReward, program: Program) -> str:
    least = "" if reward.min_spend_minor is None else f" of at least {money(reward.min_spend_minor, program)}"
    done = "joined" if reward.on == "registration" else f"received a first order{least}"
    if side == "advocate":
        return f"Members earn {reward.points:,} points when a friend whom they invited has {done}."
    return f"Invited members earn {reward.points:,} points when they have {done}."
