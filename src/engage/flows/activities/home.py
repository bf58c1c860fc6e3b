"""The streak and the limits of earning rules on the home screen."""

from datetime import datetime
from typing import Any

from engage.domain import calendar
from engage.domain.earning.rules import PerWindow
from engage.domain.earning.streak import StreakView, view
from engage.flows.activities.activity import LimitView
from engage.ledger import home as ledger
from engage.runtime.home import HomeContext, HomeSection

_Window = tuple[str, str, int, datetime]  # (rule, prefix of its source keys, slots, end)


def _streak_parameters(context: HomeContext) -> dict[str, object]:
    streak = None if context.offer is None else context.offer.program.earning.rules.streak
    return {"streak_rule": None if streak is None else streak.id}


def _streak(context: HomeContext, value: Any) -> StreakView | None:
    if context.offer is None or (streak := context.offer.program.earning.rules.streak) is None:
        return None
    bonus_days = context.offer.program.earning.rules.bonus_days(streak)
    zone = context.offer.market.zone
    return view(ledger.streak_of(value), context.now, zone, bonus_every_days=bonus_days)


def _limit_parameters(context: HomeContext) -> dict[str, object]:
    return {"window_prefixes": [prefix for _, prefix, _, _ in _windows(context)]}


def _limits(context: HomeContext, value: Any) -> list[LimitView]:
    used: list[str] = value or []
    return [
        LimitView(rule_id, slots - _used(used, prefix, slots), end)
        for rule_id, prefix, slots, end in _windows(context)
    ]


def _windows(context: HomeContext) -> list[_Window]:
    """The windows that are open now."""
    if context.offer is None:
        return []
    zone = context.offer.market.zone
    return [
        (rule.id, f"{rule.id}:{window.label}:", rule.limit.count, window.end)
        for rule in context.offer.program.earning.rules.windows
        if isinstance(rule.limit, PerWindow)
        and (window := calendar.window(rule.limit.window, context.now, zone))
    ]


def _used(keys: list[str], prefix: str, slots: int) -> int:
    """Higher slots belong to a version that allowed more; they do not count."""
    return sum(key.startswith(prefix) and int(key.removeprefix(prefix)) <= slots for key in keys)


STREAK = HomeSection(field="streak", select=ledger.STREAK, parameters=_streak_parameters, view=_streak)
LIMITS = HomeSection(field="limits", select=ledger.USED_SLOTS, parameters=_limit_parameters, view=_limits)
