"""Keys that rows are found by, and the texts that source keys and references are made of.

A source key names what a credit is for, and is unique for a member. A reference names the activity that
earned it, or what an entry is about. Both are made here, and nowhere taken apart: an identifier of the shop's
within may look like anything, a date or a number too. Who needs a part reads it where it is stored, with the
credit: its rule, the windows and slots of its limits, and in `why` the day of a streak or the product.

No two different things have the same key: ids of rules have no colon and are none of the reserved words, and
a rule's keys are of one kind for ever.
"""

from datetime import date
from typing import Final
from uuid import UUID

# The program stands first, so sorted keys are in lock order.
MemberKey = tuple[str, str]  # (program, member)
OrderKey = tuple[str, str, str]  # (program, member, order)
OrderId = tuple[str, str]  # (program, order), whoever paid it
CreditKey = tuple[str, str, UUID]  # (program, member, credit)
HoldKey = tuple[str, str, UUID]  # (program, member, hold)
ReferenceKey = tuple[str, str, str]  # (program, member, reference)
SourceKey = tuple[str, str, str]  # (program, member, source key)
AttemptKey = tuple[str, str, UUID]  # (program, member, attempt at a quiz)
RewardKey = tuple[str, str]  # (program, reward)
CouponKey = tuple[str, str]  # (program, code)
CardKey = tuple[str, str]  # (program, card number)
EventKey = tuple[str, str]  # (program, event)
DrawKey = tuple[str, str]  # (program, draw)

# Ids of rules that no program may have: credits of these come from operators, imports, mergers and reviews.
ADJUSTMENT_RULE: Final = "adjustment"
OPENING_RULE: Final = "opening_balance"
TRANSFER_RULE: Final = "transfer"
RESTORED_RULE: Final = "restored"

CHALLENGE: Final = "challenge"  # Rules and references of challenges begin with this and a colon.
EVER: Final = "ever"  # The label of a window without an end.

OPENING: Final = "opening"  # Source keys of opening balances begin with this.

MEMBER_CALLER: Final = "member:"
ERASURE: Final = "erasure"  # The reference of entries that an erasure posts.
MERGE: Final = "merge:"  # References of entries that a merger posts begin with this.


def member_caller(program_id: str, member_id: str) -> str:
    """The caller that responses to a member's requests are stored under."""
    return f"{MEMBER_CALLER}{program_id}:{member_id}"


def share_reference(share_id: str) -> str:
    return f"share:{share_id}"


def review_reference(review_id: str) -> str:
    return f"review:{review_id}"


def order_reference(order_id: str) -> str:
    return f"order:{order_id}"


def draw_reference(draw_id: str, number: int) -> str:
    """The reference of the prize of an entry, and the source key of its credit."""
    return f"draw:{draw_id}:{number}"


def challenge_reference(challenge_id: str, period: str, step: int, number: int) -> str:
    """The reference and the source key of what a step of a challenge pays in a period. `step` is the progress
    that reaches it; `number` counts from 1 how often it was paid, since what was taken back is paid again.
    """
    return f"{CHALLENGE}:{challenge_id}:{period}:{step}:{number}"


def referral_reference(referral_id: UUID) -> str:
    """The reference of what a referral pays to both members."""
    return f"referral:{referral_id}"


def quiz_reference(attempt_id: UUID) -> str:
    return f"quiz:{attempt_id}"


def removal_reference(reference: str) -> str:
    """The reference of what a removed activity loses."""
    return f"removed:{reference}"


def lapse_reference(credit_id: UUID) -> str:
    """The reference of what a credit loses whose activity was not confirmed in time."""
    return f"lapsed:{credit_id}"


def displaced_reference(order_id: str) -> str:
    """The reference of what an order loses that is not among the first any more."""
    return f"displaced:{order_id}"


def merge_reference(member_id: str) -> str:
    """The reference of entries by which points go to another member's account, or come from it."""
    return MERGE + member_id


def adjustment_reference(reference: str) -> str:
    """The reference of an operator's correction, and the source key of a credit that it makes."""
    return f"{ADJUSTMENT_RULE}:{reference}"


def rejection_reference(decision_id: UUID) -> str:
    """The reference of what suspicious credits lose by a decision."""
    return f"rejected:{decision_id}"


def restored_key(credit_id: UUID) -> str:
    """The key of the credit that gives back what another one has lost by a decision that was taken back."""
    return f"{RESTORED_RULE}:{credit_id}"


def streak_key(rule_id: str, day: date) -> str:
    return f"{rule_id}:{day.isoformat()}"


def freeze_key(rule_id: str, freeze_id: UUID) -> str:
    """The key of a credit of no points that gave freezes for a streak."""
    return f"{rule_id}:freeze:{freeze_id}"


def window_key(rule_id: str, window: str, slot: int) -> str:
    """The key of a window's slot. `window` is its label, such as 2026-11."""
    return f"{rule_id}:{window}:{slot}"


def once_key(rule_id: str, subject: str | None = None) -> str:
    """The key of a rule that pays once, for the member or for the member and a subject such as a product."""
    return rule_id if subject is None else f"{rule_id}:{subject}"


def is_once_in_a_life(rule_id: str, source_key: str) -> bool:
    """Tell whether a person can have the credit of this key once in all their accounts: that of a rule that
    pays once, or of an attempt at a quiz whose attempts never come back.
    """
    quiz_id = rule_id.removeprefix(quiz_rule(""))
    is_ever = quiz_id != rule_id and source_key.startswith(quiz_keys(quiz_id, EVER))
    return source_key == once_key(rule_id) or is_ever


def order_key(order_id: str, rule_id: str, number: int = 1) -> str:
    """The key of what a rule pays for an order. `number` counts from 1 how often it did: what an order lost
    with its place among the first is paid again when it has one again.
    """
    again = "" if number == 1 else f":{number}"
    return f"{order_reference(order_id)}:{rule_id}{again}"


def referral_rule(side: str) -> str:
    """The rule of what a referral pays to the advocate, or to the friend."""
    return f"referral:{side}"


def referral_key(side: str, referral_id: UUID) -> str:
    return f"{referral_rule(side)}:{referral_id}"


def removal_key(reference: str, rule_id: str) -> str:
    """The key of a credit of no points that records a removal which came before its activity."""
    return f"{removal_reference(reference)}:{rule_id}"


def game_rule(game_id: str) -> str:
    return f"game:{game_id}"


def game_play_key(game_id: str, run: int, number: int) -> str:
    """The key of a play, by its number in a run of its game."""
    return f"{game_rule(game_id)}:{run}:{number}"


def quiz_rule(quiz_id: str) -> str:
    """The rule of the credits of a quiz."""
    return f"quiz:{quiz_id}"


def quiz_keys(quiz_id: str, window: str) -> str:
    """The beginning of the keys of all attempts of a window."""
    return f"{quiz_rule(quiz_id)}:{window}:"


def quiz_key(quiz_id: str, window: str, number: int) -> str:
    """The key of an attempt, by the label of its window and its place there."""
    return f"{quiz_keys(quiz_id, window)}{number}"


def boosted_key(source_key: str, boost_key: str) -> str:
    """The key of a credit that a boost adds beside the one with `source_key`."""
    return f"{source_key}+{boost_key}"


def offer_key(program_id: str, campaign_id: str, reward_id: str) -> RewardKey:
    """The name under which the pieces of a reward at the price of a campaign are counted."""
    return program_id, f"{reward_id}@{campaign_id}"


def tier_boost_key(group_id: str) -> str:
    """The end of the keys of credits that a level of this group adds."""
    return f"tier:{group_id}"


def board_rule(board_id: str) -> str:
    return f"leaderboard:{board_id}"


def board_key(board_id: str, period: str, rank: int) -> str:
    """The key of a rank at the end of a period of a leaderboard."""
    return f"{board_rule(board_id)}:{period}:{rank}"


def opening_key(name: str) -> str:
    """The key of an opening balance, which a member has once under each name."""
    return f"{OPENING}:{name}"


def transfer_key(member_id: str, credit_id: UUID) -> str:
    """The key of a credit that comes from a merged member, where the survivor has its own key already."""
    return f"{TRANSFER_RULE}:{member_id}:{credit_id}"
