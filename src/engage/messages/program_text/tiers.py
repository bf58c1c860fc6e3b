"""Groups of levels."""

from engage.domain.program.program import Program
from engage.domain.tiers.definition import Level, TierGroup
from engage.messages.program_text.description import Description
from engage.messages.program_text.wording import Wording


def describe(program: Program, words: Wording) -> Description:
    return Description([_group(group, words) for group in program.tier_groups])


def _group(group: TierGroup, words: Wording) -> str:
    levels = ", ".join(_level(level, words) for level in group.levels)
    parts = [words.text(f"tiers.{group.metric}.{group.window}", levels=levels)]
    if group.grace:
        parts.append(words.text("tiers.grace", length=words.duration(group.grace)))
    return "; ".join(parts) + "."


def _level(level: Level, words: Wording) -> str:
    shown = words.text("tiers.level", title=words.title(level.title), least=level.from_)
    if level.multiply == 1:
        return shown
    return words.text("tiers.multiply", level=shown, times=words.number(level.multiply))
