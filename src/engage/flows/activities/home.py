"""The streak, the limits of earning rules, and points that wait for a confirmation, on the home screen."""

from datetime import date, datetime
from typing import Any

from engage.domain import calendar
from engage.domain.calendar import WindowKind
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
from engage.runtime.home import HomeContext, HomeSection, View, listed

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
            days=shown.days,
            next_tap_at=shown.next_tap_at,
            next_bonus_in=shown.next_bonus_in,
            freezes=shown.freezes,
            best=shown.best,
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

    # Most rules have paid a member nothing in these windows.
    unused = {rule_id: tightest([slot.view(()) for slot in of_rule]) for rule_id, of_rule in slots.items()}

    def limits(value: Any) -> list[LimitView]:
        used = ledger.used_slots_of(value)
        used_rules = {rule_id for rule_id, _ in used}
        return [
            tightest([slot.view(used.get((rule_id, slot.window.kind), ())) for slot in slots[rule_id]])
            if rule_id in used_rules
            else view
            for rule_id, view in unused.items()
        ]

    return limits


# As `engage.ledger.home` selects them.
StreakRead = (
    tuple[
        int | None,
        datetime | None,
        dict[str, Any] | None,
        list[tuple[datetime, str, str]] | None,
        list[str] | None,
    ]
    | None
)
UsedRead = list[tuple[str, WindowKind, int]] | None

WAITING = HomeSection(
    field="waiting",
    select=ledger.WAITING,
    type=list[ledger.WaitingPoints] | None,
    parameters=lambda _: {"waiting_shown": WAITING_SHOWN},
    view=lambda _: listed,
)
STREAK = HomeSection(
    field="streak", select=ledger.STREAK, type=StreakRead, parameters=_streak_parameters, view=_streak
)
LIMITS = HomeSection(
    field="limits", select=ledger.USED_SLOTS, type=UsedRead, parameters=_limit_parameters, view=_limits
)
