"""Draws as a kind of definition."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from engage.domain.definitions.definition import order_problems
from engage.domain.definitions.kind import DefinitionKind
from engage.domain.document.durations import duration_problems
from engage.domain.document.errors import Problem
from engage.domain.draws.definition import Draw
from engage.domain.draws.simulated import SimulatedDraws
from engage.domain.earning.due import LONGEST_DELAY, After
from engage.domain.feature.section import Context

# Between the closing, at which the list is frozen within seconds, and the round.
SHORTEST_WAIT, LONGEST_WAIT = timedelta(seconds=10), timedelta(days=30)


def problems(draw: Draw, path: str, context: Context) -> Iterator[Problem]:
    yield from order_problems(path, ("opens_at", draw.opens_at), ("closes_at", draw.closes_at))
    yield from duration_problems(f"{path}.round_after", draw.round_after, SHORTEST_WAIT, LONGEST_WAIT)
    if draw.round_after % timedelta(seconds=1):
        yield Problem(f"{path}.round_after", "whole seconds", str(draw.round_after))
    if isinstance(draw.due, After):
        yield from duration_problems(f"{path}.due.delay", draw.due.delay, timedelta(), LONGEST_DELAY)
    conditions = draw.conditions
    if conditions is not None and conditions == type(conditions)():
        yield Problem(f"{path}.conditions", "hashtag, mentions or public = true", "no condition")


DRAW: Final = DefinitionKind(
    name="draw",
    plural="draws",
    struct=Draw,
    problems=problems,
    simulate=SimulatedDraws,
)
