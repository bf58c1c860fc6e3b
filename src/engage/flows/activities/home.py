"""The streak, the limits of earning rules, and points that wait for a confirmation, on the home screen."""

from typing import Any

from engage.domain import calendar
from engage.domain.earning.limits.per_window import LimitView, tightest
from engage.domain.earning.streak import StreakView, view
from engage.ledger import home as ledger
from engage.runtime.home import HomeContext, HomeSection

WAITING_SHOWN = 12


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
    if context.offer is None:
        return {"of_day": None, "of_month": None}
    today = calendar.local_date(context.now, context.offer.market.zone)
    return {"of_day": today, "of_month": today.replace(day=1)}


def _limits(context: HomeContext, value: Any) -> list[LimitView]:
    """One for each rule with windows: that of its limits which the member meets first."""
    if context.offer is None:
        return []
    used = ledger.used_slots_of(value)
    views: dict[str, list[LimitView]] = {}
    rules = context.offer.program.earning.rules
    for slot in rules.open_windows(context.now, context.offer.market.zone):
        numbers = used.get((slot.rule_id, slot.window.kind), [])
        views.setdefault(slot.rule_id, []).append(slot.view(numbers))
    return [tightest(limits) for limits in views.values()]


WAITING = HomeSection(
    field="waiting",
    select=ledger.WAITING,
    parameters=lambda _: {"waiting_shown": WAITING_SHOWN},
    view=lambda _, value: ledger.waiting_of(value),
)
STREAK = HomeSection(field="streak", select=ledger.STREAK, parameters=_streak_parameters, view=_streak)
LIMITS = HomeSection(field="limits", select=ledger.USED_SLOTS, parameters=_limit_parameters, view=_limits)
