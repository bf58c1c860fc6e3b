"""The steps of a trace as sentences."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final

from engage.domain.earning.trace import TraceCode, TraceStep
from engage.domain.money import Money
from engage.messages.catalogue import month_name, translate

# The fact that selects the plural form of a sentence.
COUNTED: Final[Mapping[TraceCode, str]] = {
    TraceCode.STREAK_DAY: "points",
    TraceCode.STREAK_BONUS: "points",
    TraceCode.WINDOW_SLOT: "points",
    TraceCode.ONCE: "points",
    TraceCode.ONCE_PER: "points",
    TraceCode.EACH_ORDER: "points",
    TraceCode.DRAW_WON: "points",
    TraceCode.SPEND_STEPS: "points",
    TraceCode.TAG_POINTS: "points",
    TraceCode.BRACKET: "points",
    TraceCode.FRIEND_JOINED: "points",
    TraceCode.FRIEND_ORDERED: "points",
    TraceCode.INVITED: "points",
    TraceCode.PROMOTION_LINES_LEFT_OUT: "lines",
    TraceCode.GAME_PRIZE: "points",
    TraceCode.BOARD_RANK: "points",
    TraceCode.CHALLENGE_STEP: "points",
    TraceCode.QUIZ_ANSWERS: "points",
    TraceCode.QUIZ_FULL_SCORE: "points",
    TraceCode.TIER_BOOST: "points",
    TraceCode.CAMPAIGN_MULTIPLIES: "points",
    TraceCode.CAMPAIGN_ADDS: "points",
}


def trace_line(step: TraceStep, language: str, currency: str | None = None) -> str:
    """Write a step as a sentence after the id of its rule."""
    sentence = trace_sentence(step, language, currency)
    return f"{step.facts['rule']}: {sentence}" if "rule" in step.facts else sentence


def trace_sentence(step: TraceStep, language: str, currency: str | None = None) -> str:
    """Write a step as a sentence. A code that this release does not know is shown with its facts.

    Amounts are money of `currency`; without it they are shown in minor units.
    """
    facts = step.facts
    if step.code not in set(TraceCode):
        return ", ".join([step.code, *(f"{name} {value}" for name, value in facts.items())])
    code = TraceCode(step.code)
    if code is TraceCode.TEXT:  # A sentence of an earlier release.
        return str(facts["text"])
    if "multiply" in facts:
        facts = facts | {"multiply": Decimal(facts["multiply"])}
    if "paid_minor" in facts:
        facts = _with_amount(facts, language, currency)
    key = f"trace.{code}"
    if code is TraceCode.WINDOW_SLOT:
        key, facts = _in_window(key, facts, language)
    if code is TraceCode.HELD:
        key, facts = _held(key, facts)
    return translate(key, language, facts, counted=COUNTED.get(code))


def _in_window(key: str, facts: dict[str, Any], language: str) -> tuple[str, dict[str, Any]]:
    """(the key of the sentence, the facts with the window as the language writes it): a month, or a day."""
    match str(facts.get("window")).split("-"):
        case [year, month] if (year + month).isdecimal():
            return key, facts | {"window": month_name(date(int(year), int(month), 1), language)}
        case [year, month, day] if (year + month + day).isdecimal():
            return f"{key}.day", facts | {"window": date(int(year), int(month), int(day))}
        case _:
            return key, facts


def _held(key: str, facts: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """(the key of the sentence, the facts): until a day, or for a while after the shop's word."""
    until = facts["until"]
    return (f"{key}.waiting", facts) if until is None else (key, {"until": date.fromisoformat(until)})


def _with_amount(facts: Mapping[str, Any], language: str, currency: str | None) -> dict[str, Any]:
    """Add the amount of an order that counts: lines and shipping, less what points and coupons have paid."""
    shown = {
        name: Money(value, currency) if currency and name.endswith("_minor") else value
        for name, value in facts.items()
    }
    amount = translate("trace.amount", language, shown, counted="lines")
    if facts["shipping_minor"]:
        amount = translate("trace.amount_with_shipping", language, shown | {"amount": amount})
    if facts["discount_minor"]:
        amount = translate("trace.amount_with_discount", language, shown | {"amount": amount})
    return shown | {"amount": amount}
