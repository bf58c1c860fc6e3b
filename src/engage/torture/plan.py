"""The faults of a run: when each begins, on what, and for how long. Pure: a plan follows from its seed.

A plan is plain JSON, so that a run can be repeated from a file, and shortened.
"""

from msgspec import Struct


class Step(Struct, frozen=True, kw_only=True):
    """A fault of a run. `begin_s` counts from the start of the run; a fault of no length ends at once."""

    fault: str
    target: str
    begin_s: float
    length_s: float
    parameters: dict[str, float] = {}


class Plan(Struct, frozen=True, kw_only=True):
    """The faults of a run, in the order of their begin. `seed` is the members' too."""

    seed: int
    seconds: float
    steps: list[Step]


def make_plan(seed: int, *, minutes: float, faults: tuple[str, ...] = ()) -> Plan:
    """Return a plan of the named faults, or of all."""
    return Plan(seed=seed, seconds=minutes * 60, steps=[])
