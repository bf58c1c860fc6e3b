"""Validation of a challenge: goals that can be reached, by steps that pay something."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from engage.domain.challenges.definition import (
    COUNTED,
    WITH_PRODUCTS,
    AllOf,
    AnyGoal,
    Challenge,
    Count,
    DistinctProducts,
    Part,
    PointsEarned,
    SpendMinor,
)
from engage.domain.document.durations import duration_problems
from engage.domain.document.errors import Problem, nearest, one_of, shown
from engage.domain.earning.due import LONGEST_DELAY, After
from engage.domain.feature.section import Context
from engage.domain.rewards.validation import unknown_reward


def challenge_problems(challenge: Challenge, path: str, context: Context) -> Iterator[Problem]:
    yield from challenge.schedule_problems(path)
    yield from _goal_problems(challenge.goal, f"{path}.goal")
    yield from _step_problems(challenge, path, context.ids.get("rewards", ()))
    if isinstance(challenge.due, After):
        yield from duration_problems(f"{path}.due.delay", challenge.due.delay, timedelta(), LONGEST_DELAY)


def has_amounts(challenge: Challenge) -> bool:
    return any(isinstance(goal, SpendMinor) for goal in challenge.goals)


def _goal_problems(goal: AnyGoal | Part, path: str) -> Iterator[Problem]:
    match goal:
        case AllOf(goals=goals):
            for n, part in enumerate(goals):
                yield from _goal_problems(part, f"{path}.goals[{n}]")
        case Count(activity=activity):
            yield from _activity_problems(activity, COUNTED, path)
        case DistinctProducts(activity=activity):
            yield from _activity_problems(activity, WITH_PRODUCTS, path)
        case SpendMinor() | PointsEarned():
            pass


def _activity_problems(activity: str, known: frozenset[str], path: str) -> Iterator[Problem]:
    if activity not in known:
        found = shown(activity) + nearest(activity, known)
        yield Problem(f"{path}.activity", one_of(sorted(known)), found)


def _step_problems(challenge: Challenge, path: str, rewards: Sequence[str]) -> Iterator[Problem]:
    before = 0
    most = len(challenge.goals) if isinstance(challenge.goal, AllOf) else None
    for n, step in enumerate(challenge.steps):
        field = f"{path}.steps[{n}]"
        if step.at <= before:
            yield Problem(f"{field}.at", f"more than {before}, that of the step before", str(step.at))
        elif most is not None and step.at > most:
            yield Problem(f"{field}.at", f"at most {most}, the number of goals", str(step.at))
        before = max(before, step.at)
        if step.points is None and step.reward is None:
            yield Problem(field, "points or a reward", "neither")
        if step.reward is not None:
            yield from unknown_reward(step.reward, f"{field}.reward", rewards)
