"""The trace of a credit: the steps of its decision, as codes and facts that any language can show."""

from enum import StrEnum
from typing import Any, Final

from msgspec import Struct


class TraceCode(StrEnum):
    """Stable names of steps. Stored credits contain them, so none is ever renamed."""

    STREAK_DAY = "streak_day"
    STREAK_BONUS = "streak_bonus"
    STREAK_BONUS_AHEAD = "streak_bonus_ahead"
    WINDOW_SLOT = "window_slot"
    ONCE = "once"
    ONCE_PER = "once_per"
    NO_SLOT = "no_slot"

    EACH_ORDER = "each_order"
    SPEND_STEPS = "spend_steps"
    TAG_POINTS = "tag_points"
    BRACKET = "bracket"
    LOST_BRACKET = "lost_bracket"
    PROMOTION_LINES_LEFT_OUT = "promotion_lines_left_out"
    ONLY_PROMOTION_LINES = "only_promotion_lines"
    CHANNEL_EXCLUDED = "channel_excluded"
    PAYMENT_METHOD_EXCLUDED = "payment_method_excluded"
    NOT_PAID_AT_PICKUP = "not_paid_at_pickup"

    GAME_PRIZE = "game_prize"
    BOARD_RANK = "board_rank"
    DRAW_WON = "draw_won"
    FRIEND_JOINED = "friend_joined"
    FRIEND_ORDERED = "friend_ordered"
    INVITED = "invited"
    CHALLENGE_STEP = "challenge_step"
    QUIZ_ANSWERS = "quiz_answers"
    QUIZ_FULL_SCORE = "quiz_full_score"
    TIER_BOOST = "tier_boost"
    CAMPAIGN_MULTIPLIES = "campaign_multiplies"
    CAMPAIGN_ADDS = "campaign_adds"
    BUDGET_EXHAUSTED = "budget_exhausted"

    HELD = "held"
    RELEASED = "released"
    REJECTED = "rejected"
    RESTORED = "restored"

    ADJUSTED = "adjusted"
    OPENING = "opening"
    REMOVED_BEFORE = "removed_before"
    LAPSED = "lapsed"
    EARNED_BEFORE = "earned_before"
    ERASED = "erased"
    TEXT = "text"


_AMOUNT: Final = ("rule", "paid_minor", "lines", "shipping_minor", "discount_minor")

# The names of the facts of each code. `rule` is the id of the rule that a step is about. Amounts are in minor
# units of the order's currency; `points` are those that the step pays.
FACTS: Final[dict[TraceCode, tuple[str, ...]]] = {
    TraceCode.STREAK_DAY: ("rule", "streak_days", "points"),
    TraceCode.STREAK_BONUS: ("rule", "streak_days", "every_days", "points"),
    TraceCode.STREAK_BONUS_AHEAD: ("rule", "streak_days", "bonus_day"),
    TraceCode.WINDOW_SLOT: ("rule", "slot", "of", "window", "points"),
    TraceCode.ONCE: ("rule", "points"),
    TraceCode.ONCE_PER: ("rule", "key", "points"),
    TraceCode.NO_SLOT: ("rule",),
    TraceCode.EACH_ORDER: ("rule", "points"),
    TraceCode.SPEND_STEPS: (*_AMOUNT, "points", "step_points", "step_minor"),
    TraceCode.TAG_POINTS: ("rule", "points"),
    TraceCode.BRACKET: (*_AMOUNT, "points", "from_minor"),
    TraceCode.LOST_BRACKET: _AMOUNT,
    TraceCode.PROMOTION_LINES_LEFT_OUT: ("rule", "lines"),
    TraceCode.ONLY_PROMOTION_LINES: ("rule",),
    TraceCode.CHANNEL_EXCLUDED: ("rule", "channel"),
    TraceCode.PAYMENT_METHOD_EXCLUDED: ("rule", "method"),
    TraceCode.NOT_PAID_AT_PICKUP: ("rule", "channel"),
    TraceCode.BOARD_RANK: ("rule", "rank", "points"),
    TraceCode.GAME_PRIZE: ("rule", "prize", "number", "points"),
    TraceCode.DRAW_WON: ("rule", "points", "number", "entries", "round"),
    TraceCode.FRIEND_JOINED: ("rule", "points"),
    TraceCode.FRIEND_ORDERED: ("rule", "points"),
    TraceCode.INVITED: ("rule", "points"),
    TraceCode.CHALLENGE_STEP: ("rule", "period", "progress", "points"),
    TraceCode.QUIZ_ANSWERS: ("rule", "correct", "total", "points"),
    TraceCode.QUIZ_FULL_SCORE: ("rule", "total", "points"),
    # `points` are beside the `base_points` of the rule.
    TraceCode.TIER_BOOST: ("rule", "group", "level", "multiply", "base_points", "points"),
    TraceCode.CAMPAIGN_MULTIPLIES: ("rule", "campaign", "version", "multiply", "base_points", "points"),
    TraceCode.CAMPAIGN_ADDS: ("rule", "campaign", "version", "base_points", "points"),
    TraceCode.BUDGET_EXHAUSTED: ("rule", "campaign"),
    # `until` is a day of the member's zone; null where the shop's word is awaited.
    TraceCode.HELD: ("until",),
    TraceCode.RELEASED: (),
    TraceCode.REJECTED: (),
    TraceCode.RESTORED: ("credit",),
    TraceCode.ADJUSTED: ("reason",),
    TraceCode.OPENING: ("import",),
    TraceCode.REMOVED_BEFORE: (),
    TraceCode.LAPSED: (),
    TraceCode.EARNED_BEFORE: (),
    TraceCode.ERASED: (),
    # A sentence of an earlier release that no code stands for.
    TraceCode.TEXT: ("text",),
}


# Steps of a review of suspicious points, in the order in which they happen.
REVIEW: Final = frozenset({TraceCode.HELD, TraceCode.RELEASED, TraceCode.REJECTED, TraceCode.RESTORED})

_FACT_NAMES: Final = {code: frozenset(names) for code, names in FACTS.items()}


class TraceStep(Struct, frozen=True, array_like=True):
    """A step of a decision. A release that is older than the credit may not know its code.

    Stored as `[code, facts]`: every credit has some, and bytes are what a settlement writes.
    """

    code: str
    facts: dict[str, Any] = {}


def step(code: TraceCode, **facts: Any) -> TraceStep:
    """A step with the facts of its code, all of them and no other."""
    assert facts.keys() == _FACT_NAMES[code]
    return TraceStep(code.value, facts)
