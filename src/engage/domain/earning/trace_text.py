"""The steps of a trace in English."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from engage.domain.earning.trace import TraceCode, TraceStep

Facts = Mapping[str, Any]


def sentence(step: TraceStep) -> str:
    """One line of text. A code that this release does not know is shown with its facts."""
    words = _WORDS.get(step.code)
    if words is None:
        return ", ".join([step.code, *(f"{name} {value}" for name, value in step.facts.items())])
    text = words(step.facts)
    return f"{step.facts['rule']}: {text}" if "rule" in step.facts else text


def _amount(facts: Facts) -> str:
    words = f"{facts['paid_minor']} for {facts['lines']} lines"
    if facts["shipping_minor"]:
        words += f" and {facts['shipping_minor']} for shipping"
    if facts["discount_minor"]:
        words += f", less {facts['discount_minor']} paid with points or coupons"
    return words


_WORDS: Final[Mapping[str, Callable[[Facts], str]]] = {
    TraceCode.STREAK_DAY: lambda f: f"day {f['streak_days']} in a row pays {f['points']}",
    TraceCode.STREAK_BONUS: lambda f: (
        f"day {f['streak_days']} in a row, every {f['every_days']} days pay {f['points']}"
    ),
    TraceCode.STREAK_BONUS_AHEAD: lambda f: (
        f"day {f['streak_days']} in a row, the next bonus is on day {f['bonus_day']}"
    ),
    TraceCode.WINDOW_SLOT: lambda f: f"{f['slot']} of {f['of']} in {f['window']} pays {f['points']}",
    TraceCode.ONCE: lambda f: f"once pays {f['points']}",
    TraceCode.ONCE_PER: lambda f: f"once for {f['key']} pays {f['points']}",
    TraceCode.NO_SLOT: lambda _: "no slot left",
    TraceCode.EACH_ORDER: lambda f: f"each order pays {f['points']}",
    TraceCode.SPEND_STEPS: lambda f: (
        f"{_amount(f)}: {f['points']}, {f['step_points']} for each {f['step_minor']}"
    ),
    TraceCode.TAG_POINTS: lambda f: f"{f['points']} on the price tags",
    TraceCode.BRACKET: lambda f: f"{_amount(f)}: {f['points']}, from {f['from_minor']}",
    TraceCode.LOST_BRACKET: lambda f: f"{_amount(f)}: below all brackets",
    TraceCode.PROMOTION_LINES_LEFT_OUT: lambda f: f"{f['lines']} lines in a promotion left out",
    TraceCode.ONLY_PROMOTION_LINES: lambda _: "all lines are in a promotion",
    TraceCode.CHANNEL_EXCLUDED: lambda f: f"nothing by channel {f['channel']}",
    TraceCode.PAYMENT_METHOD_EXCLUDED: lambda f: f"nothing paid by {f['method']}",
    TraceCode.NOT_PAID_AT_PICKUP: lambda f: f"nothing by channel {f['channel']} unless paid at pick-up",
    TraceCode.ADJUSTED: lambda f: f"adjusted by an operator: {f['reason']}",
    TraceCode.OPENING: lambda f: f"an opening balance of the import {f['import']}",
    TraceCode.REMOVED_BEFORE: lambda _: "removed before it was recorded",
    TraceCode.ERASED: lambda _: "the member was erased",
    TraceCode.TEXT: lambda f: str(f["text"]),
}
assert _WORDS.keys() == set(TraceCode)
