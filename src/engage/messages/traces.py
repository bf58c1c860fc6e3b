"""The steps of a trace as sentences."""

from collections.abc import Mapping
from typing import Any, Final

from engage.messages.catalogue import has, translate

# The fact that selects the plural form of a sentence.
COUNTED: Final[Mapping[str, str]] = {
    "streak_day": "points",
    "streak_bonus": "points",
    "window_slot": "points",
    "once": "points",
    "once_per": "points",
    "each_order": "points",
    "spend_steps": "points",
    "tag_points": "points",
    "bracket": "points",
    "promotion_lines_left_out": "lines",
}


def trace_sentence(code: str, facts: Mapping[str, Any], language: str) -> str:
    """Write a step as a sentence. A code that this release does not know is shown with its facts."""
    if code == "text":  # A sentence of an earlier release.
        return str(facts["text"])
    if code not in COUNTED and not has(f"trace.{code}"):
        return ", ".join([code, *(f"{name} {value}" for name, value in facts.items())])
    shown = {"amount": _amount(facts, language), **facts} if "paid_minor" in facts else facts
    return translate(f"trace.{code}", language, shown, counted=COUNTED.get(code))


def _amount(facts: Mapping[str, Any], language: str) -> str:
    """What counts of an order: the lines, with shipping, less what points and coupons have paid."""
    amount = translate("trace.amount", language, facts, counted="lines")
    if facts["shipping_minor"]:
        amount = translate("trace.amount_with_shipping", language, {"amount": amount, **facts})
    if facts["discount_minor"]:
        amount = translate("trace.amount_with_discount", language, {"amount": amount, **facts})
    return amount
