"""The streak, the limits of earning rules, and points that wait for a confirmation, on the home screen."""

from datetime import date
from typing import Any

from msgspec import structs

from engage.domain import calendar
from engage.domain.earning.limits.per_window import LimitView, tightest
from engage.domain.earning.streak import (
    FreezeOffer,
    LostRun,
    StreakView,
    freeze_offer,
    frozen_since,
    lost_run,
    running,
    view,
)
from engage.flows.activities.streaks import introduced, introduction, streak_terms
from engage.ledger import home as ledger
from engage.runtime.home import HomeContext, HomeSection

WAITING_SHOWN = 12


class HomeStreak(StreakView, frozen=True, kw_only=True):
    """The streak on the home screen. `frozen_days` of its run were missed, and freezes covered them; of a
    long run those of the last two months. `lost`: the run that the member has lost, until the next tap begins
    another one. `offer`: a freeze that the member can buy; null where none are sold.
    """

    frozen_days: list[date]
    lost: LostRun | None
    offer: FreezeOffer | None


def _streak_parameters(context: HomeContext) -> dict[str, object]:
    streak = None if context.offer is None else context.offer.program.earning.rules.streak
    return {"streak_rule": None if streak is None else streak.id}


def _streak(context: HomeContext, value: Any) -> HomeStreak | None:
    if context.offer is None or (rule := context.offer.program.earning.rules.streak) is None:
        return None
    found, frozen = ledger.streak_shown(value)
    program, market, now = context.offer.program, context.offer.market, context.now
    terms = streak_terms(program, rule.id)
    if found is not None and terms.freezes is not None:
        found = introduced(found, introduction(context.versions, rule.id, country=context.country))
    streak = None if found is None else found.streak
    shown = view(streak, now, market.zone, terms, bonus_every_days=program.earning.rules.bonus_days(rule.id))
    goes_on = streak is not None and running(streak, now, terms)
    return HomeStreak(
        **structs.asdict(shown),
        frozen_days=[*frozen, *frozen_since(streak, now, terms)] if streak is not None and goes_on else [],
        lost=lost_run(streak, now, terms),
        offer=freeze_offer(streak, now, terms),
    )


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
    rules = context.offer.terms.rules
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
