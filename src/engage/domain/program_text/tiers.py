"""Groups of levels."""

from engage.domain.document.texts import FALLBACK, text_in
from engage.domain.program.program import Program
from engage.domain.program_text.description import Description
from engage.domain.program_text.wording import duration
from engage.domain.tiers.definition import Level, TierGroup

_METRICS = {
    "spend_minor": "what is spent, in minor units of currency",
    "points_earned": "points earned",
    "status": "status earned",
}
_WINDOWS = {
    "calendar_year": "in a calendar year",
    "rolling_12_months": "in the last twelve months",
    "lifetime": "ever",
}


def describe(program: Program) -> Description:
    return Description([_group(group) for group in program.tier_groups])


def _group(group: TierGroup) -> str:
    levels = ", ".join(map(_level, group.levels))
    words = [f"Levels by {_METRICS[group.metric]} {_WINDOWS[group.window]}: {levels}"]
    if group.grace:
        words.append(f"kept for {duration(group.grace)} after that")
    return "; ".join(words) + "."


def _level(level: Level) -> str:
    words = f"{text_in(level.title, FALLBACK)} from {level.from_:,} on"
    return words if level.multiply == 1 else f"{words} ({level.multiply} times the points)"
