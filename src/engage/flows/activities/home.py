"""The streak and the limits of earning rules on the home screen."""

from typing import Any

from engage.domain.earning.limits import WindowSlot
from engage.domain.earning.limits.per_window import LimitView
from engage.domain.earning.streak import StreakView, view
from engage.ledger import home as ledger
from engage.runtime.home import HomeContext, HomeSection


def _streak_parameters(context: HomeContext) -> dict[str, object]:
    streak = None if context.offer is None else context.offer.program.earning.rules.streak
    return {"streak_rule": None if streak is None else streak.id}


def _streak(context: HomeContext, value: Any) -> StreakView | None:
    if context.offer is None or (streak := context.offer.program.earning.rules.streak) is None:
        return None
    bonus_days = context.offer.program.earning.rules.bonus_days(streak.id)
    zone = context.offer.market.zone
    return view(ledger.streak_of(value), context.now, zone, bonus_every_days=bonus_days)


def _limit_parameters(context: HomeContext) -> dict[str, object]:
    return {"window_prefixes": [slot.prefix for slot in _open_windows(context)]}


def _limits(context: HomeContext, value: Any) -> list[LimitView]:
    keys: list[str] = value or []
    return [slot.view(slot.numbers(keys)) for slot in _open_windows(context)]


def _open_windows(context: HomeContext) -> list[WindowSlot]:
    if context.offer is None:
        return []
    return context.offer.program.earning.rules.open_windows(context.now, context.offer.market.zone)


STREAK = HomeSection(field="streak", select=ledger.STREAK, parameters=_streak_parameters, view=_streak)
LIMITS = HomeSection(field="limits", select=ledger.USED_SLOTS, parameters=_limit_parameters, view=_limits)
