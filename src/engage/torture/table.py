"""The table at the end of a run: each fault, how often, and the time until the installation was live."""

from collections import defaultdict
from collections.abc import Sequence
from statistics import median

from msgspec import Struct

from engage.torture.recovery import Recovery
from engage.torture.rounds import Round


class Row(Struct, frozen=True):
    """`kept`: how often it was live in time. `unjudged`: how often the machine was too busy to say.
    `worst_s` may include time in which the machine gave a part no processor: `starved_s`, in that round.
    """

    fault: str
    times: int
    median_s: float
    worst_s: float
    starved_s: float
    kept: int
    unjudged: int


def rows_of(rounds: Sequence[Round]) -> list[Row]:
    """Return a row for each fault, in alphabetical order. A round of two faults counts for both."""
    found: dict[str, list[Recovery]] = defaultdict(list)
    for each in rounds:
        for done in each.done:
            if not done.note:
                found[done.step.fault].append(each.recovery)
    return [_row(fault, recoveries) for fault, recoveries in sorted(found.items())]


def _row(fault: str, recoveries: Sequence[Recovery]) -> Row:
    worst = max(recoveries, key=lambda recovery: recovery.seconds)
    return Row(
        fault=fault,
        times=len(recoveries),
        median_s=median(recovery.seconds for recovery in recoveries),
        worst_s=worst.seconds,
        starved_s=worst.starved_s,
        kept=sum(recovery.is_kept and recovery.is_judged for recovery in recoveries),
        unjudged=sum(not recovery.is_judged for recovery in recoveries),
    )
