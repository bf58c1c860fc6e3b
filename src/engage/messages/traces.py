"""The steps of a trace as sentences."""

from collections.abc import Mapping
from typing import Any, Final

from engage.domain.earning.trace import TraceCode, TraceStep
from engage.messages.catalogue import translate

# The fact that selects the plural form of a sentence.
COUNTED: Final[Mapping[TraceCode, str]] = {
    TraceCode.STREAK_DAY: "points",
    TraceCode.STREAK_BONUS: "points",
    TraceCode.WINDOW_SLOT: "points",
    TraceCode.ONCE: "points",
    TraceCode.ONCE_PER: "points",
    TraceCode.EACH_ORDER: "points",
    TraceCode.SPEND_STEPS: "points",
    TraceCode.TAG_POINTS: "points",
    TraceCode.BRACKET: "points",
    TraceCode.PROMOTION_LINES_LEFT_OUT: "lines",
}


def trace_line(step: TraceStep, language: str) -> str:
    """Write a step as a sentence after the id of its rule."""
    sentence = trace_sentence(step, language)
    return f"{step.facts['rule']}: {sentence}" if "rule" in step.facts else sentence


def trace_sentence(step: TraceStep, language: str) -> str:
    """Write a step as a sentence. A code that this release does not know is shown with its facts."""
    facts = step.facts
    if step.code not in set(TraceCode):
        return ", ".join([step.code, *(f"{name} {value}" for name, value in facts.items())])
    code = TraceCode(step.code)
    if code is TraceCode.TEXT:  # A sentence of an earlier release.
        return str(facts["text"])
    shown = {"amount": _amount(facts, language), **facts} if "paid_minor" in facts else facts
    return translate(f"trace.{code}", language, shown, counted=COUNTED.get(code))


def _amount(facts: Mapping[str, Any], language: str) -> str:
    """The amount of an order that counts: lines and shipping, less what points and coupons have paid."""
    amount = translate("trace.amount", language, facts, counted="lines")
    if facts["shipping_minor"]:
        amount = translate("trace.amount_with_shipping", language, {"amount": amount, **facts})
    if facts["discount_minor"]:
        amount = translate("trace.amount_with_discount", language, {"amount": amount, **facts})
    return amount
