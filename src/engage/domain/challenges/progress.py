"""The progress of a member in a run: a fold over facts in the order of their times."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct

from engage.domain.calendar import local_date
from engage.domain.challenges.courses import Course, Run
from engage.domain.challenges.definition import (
    AllOf,
    Challenge,
    ChallengeStep,
    Count,
    DistinctProducts,
    OneGoal,
    SpendMinor,
)
from engage.domain.challenges.facts import Fact

State = Literal["running", "done", "missed"]

# (challenge, label of the period): a run.
RunKey = tuple[str, str]


class Progress(Struct, frozen=True):
    """`reached` are the facts that reached the steps, as far as there are such. `parts` is how far each of
    the goals is of which all are to be reached. `rose_at` is the time of the fact that brought it so far.
    """

    progress: int
    parts: tuple[int, ...]
    reached: tuple[Fact, ...]
    rose_at: datetime | None = None

    def state(self, run: Run, at: datetime) -> State:
        if len(self.reached) == len(run.challenge.steps):
            return "done"
        return "running" if at < run.ends_at else "missed"


class _Tally:
    """One goal, counted up."""

    def __init__(self, goal: OneGoal) -> None:
        self.value = 0
        self._goal = goal
        self._seen: set[str] = set()

    def add(self, fact: Fact) -> None:
        match self._goal:
            case Count(activity=activity):
                if fact.activity == activity:
                    self._add_new([fact.key])
            case DistinctProducts(activity=activity):
                if fact.activity == activity:
                    self._add_new(fact.products)
            case SpendMinor():
                self.value += fact.spent_minor
            case _:
                self.value += fact.points

    def _add_new(self, names: Iterable[str]) -> None:
        self._seen.update(names)
        self.value = len(self._seen)


def progress_of(challenge: Challenge, facts: Iterable[Fact]) -> Progress:
    """Fold the facts of a run, in order of their times."""
    parts = challenge.goal.goals if isinstance(challenge.goal, AllOf) else []
    tallies = [_Tally(goal) for goal in challenge.goals]
    reached: list[Fact] = []
    progress, rose_at = 0, None
    for fact in facts:
        before = progress
        for tally in tallies:
            tally.add(fact)
        if parts:
            progress = sum(tally.value >= part.of for tally, part in zip(tallies, parts, strict=True))
        else:
            progress = tallies[0].value
        while len(reached) < len(challenge.steps) and progress >= challenge.steps[len(reached)].at:
            reached.append(fact)
        if progress > before:
            rose_at = fact.at
    of_parts = tuple(tally.value for tally in tallies) if parts else ()
    return Progress(progress, of_parts, tuple(reached), rose_at)


class ReachedStep(Struct, frozen=True):
    """A step that is reached, and the fact that reached it."""

    run: Run
    step: ChallengeStep
    by: Fact


def progress_of_runs(courses: Sequence[Course], facts: Iterable[Fact]) -> dict[RunKey, tuple[Run, Progress]]:
    """The progress in every run that one of the facts counts for."""
    ordered = [(fact, local_date(fact.at, fact.zone)) for fact in sorted(facts)]
    found: dict[RunKey, tuple[Run, Progress]] = {}
    for course in courses:
        by_run: dict[str, tuple[Run, list[Fact]]] = {}
        for fact, day in ordered:
            if fact in course.interest:
                for run in course.runs_on(day, fact.at, fact.zone):
                    by_run.setdefault(run.label, (run, []))[1].append(fact)
        for label, (run, of_run) in by_run.items():
            found[run.id, label] = run, progress_of(run.challenge, of_run)
    return found


def reached_steps(runs: Mapping[RunKey, tuple[Run, Progress]]) -> list[ReachedStep]:
    return [
        ReachedStep(run, step, by)
        for run, progress in runs.values()
        for step, by in zip(run.challenge.steps, progress.reached, strict=False)
    ]
