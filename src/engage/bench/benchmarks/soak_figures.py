"""The figures of a soak: of each minute, and of its last quarter against its first."""

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

from engage.bench.clients import visit_client
from engage.bench.clients.visit_client import VisitsMade
from engage.bench.figures import Figure, median
from engage.bench.setup.agreement import Agreed
from engage.bench.setup.part_use import PARTS, PartUse

MOST_P50: Final = 1.2
MOST_P99: Final = 1.5
MOST_MEMORY: Final = 1.1
MINUTE_S: Final = 60.0
QUARTERS: Final = 4


class Minute(Struct, frozen=True):
    """Figures in a minute, or in a shorter part of a short soak."""

    visits: VisitsMade
    use: PartUse
    cpu_s: dict[str, float]
    pace_s: float

    @property
    def cpu_ms(self) -> dict[str, float]:
        """The CPU time of a visit in each part, settlement included."""
        return {part: 1000 * seconds / self.visits.visits for part, seconds in self.cpu_s.items()}


def line(minute: Minute) -> str:
    made = minute.visits
    latencies = ", ".join(
        f"{kind} {each.p50_s * 1000:.1f}/{each.p99_s * 1000:.0f} ms" for kind, each in made.latencies.items()
    )
    memory = ", ".join(f"{part} {mib:.0f}" for part, mib in minute.use.mib.items())
    cpu = ", ".join(f"{part} {ms:.2f}" for part, ms in minute.cpu_ms.items())
    cpu += f", fixed loop {minute.pace_s * 1000:.2f}"
    unexpected = f"; unexpected {made.unexpected}" if made.unexpected else ""
    return (
        f"{made.visits / made.seconds:.0f} visits/s, {latencies}; ms of CPU: {cpu}; MiB: {memory}{unexpected}"
    )


def figures(most: float, minutes: Sequence[Minute], agreed: Agreed, *, caches_are_full: bool) -> list[Figure]:
    visits = sum(minute.visits.visits for minute in minutes)
    seconds = sum(minute.visits.seconds for minute in minutes)
    return [
        Figure(
            benchmark="soak",
            what=f"visits a second, in {seconds / MINUTE_S:.1f} minutes: home screen, tap, home screen",
            value=visits / seconds,
            unit="visits/s",
            over=f"at full load: {most:,.0f}/s",
            ratio=visits / seconds / most,
        ),
        _answered(minutes),
        *_latencies(minutes),
        _flat("CPU time of a visit", [sum(minute.cpu_ms.values()) for minute in minutes], "ms", None),
        *(
            _flat(f"CPU time of a visit: {part}", [minute.cpu_ms[part] for minute in minutes], "ms", None)
            for part in minutes[0].cpu_ms
        ),
        _flat("CPU time of a fixed loop", [minute.pace_s * 1000 for minute in minutes], "ms", None),
        *_memories(minutes, caches_are_full=caches_are_full),
        Figure(
            benchmark="soak",
            what="apps that show the balance and seq of the ledger in the end",
            value=agreed.apps,
            unit="apps",
            note=f"{agreed.lost:,} connections were lost, and opened again",
        ),
    ]


def _answered(minutes: Sequence[Minute]) -> Figure:
    requests = sum(each.requests for minute in minutes for each in minute.visits.latencies.values())
    unexpected: dict[str, int] = {}
    for minute in minutes:
        for what, count in minute.visits.unexpected.items():
            unexpected[what] = unexpected.get(what, 0) + count
    return Figure(
        benchmark="soak",
        what=f"of {requests:,} requests, those answered as they should be",
        value=100 * (1 - sum(unexpected.values()) / requests),
        unit="%",
        at_least=100,
        note=", ".join(f"{count} {what}" for what, count in unexpected.items()) or None,
    )


def _latencies(minutes: Sequence[Minute]) -> Iterator[Figure]:
    for kind in (visit_client.HOME_FIRST, visit_client.TAP, visit_client.HOME_AGAIN, visit_client.ORDERS):
        measured = [each for minute in minutes if (each := minute.visits.latencies.get(kind))]
        if measured:
            yield _flat(f"p50 of a {kind}", [each.p50_s * 1000 for each in measured], "ms", MOST_P50)
            yield _flat(f"p99 of a {kind}", [each.p99_s * 1000 for each in measured], "ms", MOST_P99)


def _memories(minutes: Sequence[Minute], *, caches_are_full: bool) -> Iterator[Figure]:
    for part in minutes[0].use.mib:
        # The servers keep what they are given: their memory grows with the members and the credits. So does
        # that of an API until it has as many members as it keeps.
        is_bounded = part in PARTS and (part != "api" or caches_are_full)
        at_most = MOST_MEMORY if is_bounded else None
        yield _flat(f"memory: {part}", [minute.use.mib[part] for minute in minutes], "MiB", at_most)


def _flat(what: str, values: Sequence[float], unit: str, at_most: float | None) -> Figure:
    """Compare the last quarter with the first."""
    size = max(len(values) // QUARTERS, 1)
    first, last = median(values[:size]), median(values[-size:])
    return Figure(
        benchmark="soak",
        what=f"{what}, last quarter",
        value=last,
        unit=unit,
        over=f"first quarter: {first:,.3g} {unit}",
        ratio=last / first,
        at_most=at_most,
        note=f"at most {max(values):,.3g}",
    )
