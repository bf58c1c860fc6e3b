"""A streak as the newest of its credits records it: in the inputs of a day, or beside them.

Most days are the newest of their streak, so the day, its number and its zone are there already, and what has
its usual value is left out: each tap writes these bytes.
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from engage.domain.earning.streak import Streak

# The state after an event that is not the newest day, such as one that came late.
BESIDE = "streak"


def run_inputs(streak: Streak, day: date, at: datetime) -> dict[str, Any]:
    """The inputs that a credit for an activity at `at` has besides those of its slot, the day `day`."""
    is_newest = (streak.last_day, streak.at) == (day, at)
    return _rest(streak) if is_newest else {BESIDE: record(streak)}


def record(streak: Streak) -> dict[str, Any]:
    return {
        "day": streak.last_day.isoformat(),
        "streak_days": streak.days,
        "zone": streak.zone,
        "at": streak.at.isoformat(),
        **_rest(streak),
    }


def recorded(inputs: Mapping[str, Any], at: datetime) -> Streak:
    """The streak after a credit with these inputs, for an activity at `at`."""
    found: Mapping[str, Any] = inputs.get(BESIDE, inputs)
    days, ended_on = found["streak_days"], found.get("ended_on")
    return Streak(
        last_day=date.fromisoformat(found["day"]),
        days=days,
        zone=found["zone"],
        at=datetime.fromisoformat(found["at"]) if "at" in found else at,
        frozen=found.get("frozen", 0),
        freezes=found.get("freezes"),
        best=found.get("best", days),
        ended_on=None if ended_on is None else date.fromisoformat(ended_on),
    )


def _rest(streak: Streak) -> dict[str, Any]:
    rest: dict[str, Any] = {}
    if streak.frozen:
        rest["frozen"] = streak.frozen
    if streak.freezes is not None:
        rest["freezes"] = streak.freezes
    if streak.best != streak.days:
        rest["best"] = streak.best
    if streak.ended_on is not None:
        rest["ended_on"] = streak.ended_on.isoformat()
    return rest
