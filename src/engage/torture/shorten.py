"""Find the fewest faults after which a promise is still broken: delta debugging over the rounds of a plan.

Zeller and Hildebrandt, Simplifying and Isolating Failure-Inducing Input, 2002 (ddmin).
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec

from engage.torture.plan import Plan, Step

Part = TypeVar("Part")
Fails = Callable[[Sequence[Part]], Awaitable[bool]]


async def fewest(parts: Sequence[Part], fails: Fails[Part], *, may_go_on: Callable[[], bool]) -> list[Part]:
    """Return as few of the parts as still fail, in their order. All of them are known to fail.

    `may_go_on` ends the search early, with the fewest parts that were found until then.
    """
    known, pieces = list(parts), 2
    if known and may_go_on() and await fails([]):
        return []
    while len(known) > 1:
        smaller = await _smaller(known, pieces, fails, may_go_on)
        if smaller is not None:
            pieces = max(2, min(pieces - 1, len(smaller)))
            known = smaller
        elif pieces >= len(known) or not may_go_on():
            break
        else:
            pieces = min(2 * pieces, len(known))
    return known


async def _smaller(
    known: list[Part], pieces: int, fails: Fails[Part], may_go_on: Callable[[], bool]
) -> list[Part] | None:
    """Return a piece that fails, or else all but one piece that fail, or None."""
    size = -(-len(known) // pieces)
    cuts = [(first, first + size) for first in range(0, len(known), size)]
    candidates = [known[first:end] for first, end in cuts]
    if len(cuts) > 2:
        candidates += [known[:first] + known[end:] for first, end in cuts]
    for candidate in candidates:
        if not may_go_on():
            return None
        if await fails(candidate):
            return candidate
    return None


def with_rounds(plan: Plan, rounds: Sequence[Sequence[Step]], *, of: int) -> Plan:
    """Return a plan of some of its `of` rounds, which lasts as much shorter."""
    steps = [step for steps in rounds for step in steps]
    seconds = plan.seconds * max(len(rounds), 1) / max(of, 1)
    return msgspec.structs.replace(plan, steps=steps, seconds=round(seconds, 1))
