"""The streak, the limits of earning rules, and points that wait for a confirmation, on the home screen."""

from datetime import date
from typing import Any

from msgspec import structs

from engage.domain import calendar
from engage.domain.earning.limits.per_window import LimitView, WindowSlot, tightest
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
from engage.runtime.home import HomeContext, HomeSection, View

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


def _streak(context: HomeContext) -> View:
    if context.offer is None or (rule := context.offer.program.earning.rules.streak) is None:
        return lambda _: None
    program, zone, now = context.offer.program, context.offer.market.zone, context.now
    terms, bonus_every_days = streak_terms(program, rule.id), program.earning.rules.bonus_days(rule.id)
    since = introduction(context.versions, rule.id, country=context.country)

    def streak(value: Any) -> HomeStreak:
        found, frozen = ledger.streak_shown(value)
        if found is not None and terms.freezes is not None:
            found = introduced(found, since)
        streak = None if found is None else found.streak
        shown = view(streak, now, zone, terms, bonus_every_days=bonus_every_days)
        goes_on = streak is not None and running(streak, now, terms)
        return HomeStreak(
            **structs.asdict(shown),
            frozen_days=[*frozen, *frozen_since(streak, now, terms)]
            if streak is not None and goes_on
            else [],
            lost=lost_run(streak, now, terms),
            offer=freeze_offer(streak, now, terms),
        )

    return streak


def _limit_parameters(context: HomeContext) -> dict[str, object]:
    if context.offer is None:
        return {"of_day": None, "of_month": None}
    today = calendar.local_date(context.now, context.offer.market.zone)
    return {"of_day": today, "of_month": today.replace(day=1)}


def _limits(context: HomeContext) -> View:
    """One for each rule with windows: that of its limits which the member meets first."""
    if context.offer is None:
        return lambda _: []
    slots: dict[str, list[WindowSlot]] = {}
    for slot in context.offer.terms.rules.open_windows(context.now, context.offer.market.zone):
        slots.setdefault(slot.rule_id, []).append(slot)

    def limits(value: Any) -> list[LimitView]:
        used = ledger.used_slots_of(value)
        return [
            tightest([slot.view(used.get((rule_id, slot.window.kind), ())) for slot in of_rule])
            for rule_id, of_rule in slots.items()
        ]

    return limits


WAITING = HomeSection(
    field="waiting",
    select=ledger.WAITING,
    parameters=lambda _: {"waiting_shown": WAITING_SHOWN},
    view=lambda _: ledger.waiting_of,
)
STREAK = HomeSection(field="streak", select=ledger.STREAK, parameters=_streak_parameters, view=_streak)
LIMITS = HomeSection(field="limits", select=ledger.USED_SLOTS, parameters=_limit_parameters, view=_limits)
