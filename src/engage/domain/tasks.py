"""Tasks: what a member can earn now, and why not what they cannot. Each feature makes its own.

Imports refusals alone, so that any feature can have tasks.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Literal

from msgspec import Struct, field

from engage.domain.refusals import Refusal

TaskState = Literal["open", "done", "blocked"]


class Obstacle(StrEnum):
    """A reason why a task is not open that no activity is refused with. A new one needs its facts below, and
    a text in each language.
    """

    ONLY_WHEN_JOINING = "only_when_joining"
    STREAK_DAYS_AHEAD = "streak_days_ahead"
    ON_BIRTHDAY = "on_birthday"
    ALL_STEPS_REACHED = "all_steps_reached"


# The names of the facts of each obstacle.
OBSTACLE_FACTS: Final[Mapping[Obstacle, tuple[str, ...]]] = {
    Obstacle.ONLY_WHEN_JOINING: (),
    Obstacle.STREAK_DAYS_AHEAD: ("days",),
    Obstacle.ON_BIRTHDAY: (),
    Obstacle.ALL_STEPS_REACHED: (),
}


class WhyNot(Struct, frozen=True):
    """Why a member cannot earn something now: an obstacle, or the refusal that the activity would get."""

    code: str
    facts: Mapping[str, Any] = field(default_factory=dict)


class Task(Struct, frozen=True, kw_only=True):
    """Something to earn. `rule` is that of its credits. `title` is by locale, None where no document has
    words for it: then the catalogues have a title of the rule. `points` are the most that doing it once can
    earn, None where they depend on something. `activity` says what to do: that of the rule, or the kind of a
    definition.

    `done`: nothing is left of it, until `resets_at` or for ever. `blocked`: something else comes first. Both
    have a `why_not`. `remaining` is None where no number limits it.
    """

    rule: str
    title: Mapping[str, str] | None
    points: int | None
    activity: str
    state: TaskState = "open"
    remaining: int | None = None
    resets_at: datetime | None = None
    why_not: WhyNot | None = None


def refused(refusal: Refusal) -> WhyNot:
    return WhyNot(refusal.code, refusal.facts)


def prevented(obstacle: Obstacle, **facts: object) -> WhyNot:
    assert facts.keys() == set(OBSTACLE_FACTS[obstacle])
    return WhyNot(obstacle, facts)
