"""Figures of two readings: rates, latencies, and what is near its end. Pure."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from math import inf

from msgspec import Struct

from engage.cli.top.reading import Labels, PartReading, Reading

NEAR_END = 0.75
FEW_LEFT = 10
SHOWN = 8

_LOOP_STATES = {1.0: "fails", 2.0: "is stuck"}


class PartFigures(Struct, frozen=True):
    """A part. Figures are None where it is away."""

    name: str
    address: str
    state: str
    problems: Sequence[str]
    processor: float | None  # Of one core.
    memory_bytes: float | None
    lag_s: float | None


class Figures(Struct, frozen=True):
    """All that is shown. Rates are per second. None is not known: the part that counts it is away, or nothing
    happened.
    """

    parts: Sequence[PartFigures]
    taps: float
    refused_taps: float
    requests: float
    failed_requests: float
    tap_p50_s: float | None
    tap_p99_s: float | None
    refusals: Sequence[tuple[str, float]]
    settled: float
    lag_p99_s: float | None
    pending: float | None
    overdue: float | None
    overdue_points: float | None
    overdue_age_s: float | None
    breaches: Sequence[tuple[str, float]]  # By program, since the processes began.
    missed: float
    sockets: float | None
    pushes: float
    held_back: float
    dropped: float
    outbox_rows: float | None
    outbox_age_s: float | None
    reactions: float | None
    payouts_unknown: float | None
    budgets: Sequence[tuple[str, float]]
    stock: Sequence[tuple[str, float]]
    loops: Sequence[str]


def figures(before: Reading, now: Reading) -> Figures:
    """Compute the figures of the time between two readings."""
    rates = _Rates(before, now)
    taps = rates.by("engage_taps_total", "outcome")
    statuses = rates.by("engage_requests_total", "status")
    refusals = rates.by("engage_refusals_total", "code")
    return Figures(
        parts=[_part(part, rates) for part in now.parts],
        taps=taps.get("accepted", 0.0),
        refused_taps=sum(rate for outcome, rate in taps.items() if outcome != "accepted"),
        requests=sum(statuses.values()),
        failed_requests=statuses.get("5xx", 0.0),
        tap_p50_s=rates.quantile("engage_request_seconds", 0.5, operation="recordFuelTap"),
        tap_p99_s=rates.quantile("engage_request_seconds", 0.99, operation="recordFuelTap"),
        refusals=_largest(refusals),
        settled=rates.total("engage_credits_settled_total"),
        lag_p99_s=rates.quantile("engage_settlement_lag_seconds", 0.99),
        pending=_largest_value(now, "engage_pending_credits"),
        overdue=_sum_of_largest(now, "engage_overdue_credits", "program"),
        overdue_points=_sum_of_largest(now, "engage_overdue_points", "program"),
        overdue_age_s=_largest_value(now, "engage_overdue_age_seconds"),
        breaches=_largest(_sums(now, "engage_promise_breaches_total", "program")),
        missed=sum(value for _, value in now.samples("engage_doorbell_missed_credits_total")),
        sockets=_sum(now, "engage_feed_sockets"),
        pushes=rates.total("engage_feed_pushes_total"),
        held_back=rates.total("engage_feed_held_back_total"),
        dropped=rates.total("engage_feed_closed_total", reason="too slow"),
        outbox_rows=_largest_value(now, "engage_outbox_rows"),
        outbox_age_s=_largest_value(now, "engage_outbox_age_seconds"),
        reactions=_largest_value(now, "engage_reactions_backlog"),
        payouts_unknown=_largest_value(now, "engage_payouts", state="unknown"),
        budgets=_largest(
            _named(now, "engage_budget_used_ratio", ("program", "campaign", "of"), max), above=NEAR_END
        ),
        stock=sorted(
            item
            for item in _named(now, "engage_reward_stock_left", ("program", "reward"), min).items()
            if item[1] <= FEW_LEFT
        )[:SHOWN],
        loops=_loops(now),
    )


class _Rates:
    """Rises of counters between two readings of the same parts. A process that began anew counts from 0."""

    def __init__(self, before: Reading, now: Reading) -> None:
        self._seconds = max(now.at_s - before.at_s, 0.001)
        self._parts = [(_same(before, part), part) for part in now.parts]

    def rises(self, name: str, **wanted: str) -> list[tuple[Labels, float]]:
        found = []
        for before, now in self._parts:
            known = {_key(labels): value for labels, value in before.samples.get(name, ())} if before else {}
            for labels, value in now.samples.get(name, ()):
                if all(labels.get(label) == text for label, text in wanted.items()):
                    earlier = known.get(_key(labels), 0.0 if before else value)
                    found.append((labels, value - earlier if value >= earlier else value))
        return found

    def total(self, name: str, **wanted: str) -> float:
        return sum(rise for _, rise in self.rises(name, **wanted)) / self._seconds

    def by(self, name: str, label: str) -> dict[str, float]:
        found: dict[str, float] = defaultdict(float)
        for labels, rise in self.rises(name):
            found[labels[label]] += rise / self._seconds
        return found

    def of_part(self, part: PartReading, name: str) -> float | None:
        before = next((before for before, now in self._parts if now is part), None)
        if before is None or name not in part.samples or name not in before.samples:
            return None
        return max(part.samples[name][0][1] - before.samples[name][0][1], 0.0) / self._seconds

    def quantile(self, name: str, share: float, **wanted: str) -> float | None:
        """Return the bound of the bucket in which the quantile lies; None where nothing was observed."""
        buckets: dict[float, float] = defaultdict(float)
        for labels, rise in self.rises(name + "_bucket", **wanted):
            buckets[float(labels["le"])] += rise
        total = buckets.get(inf, 0.0)
        return next((bound for bound in sorted(buckets) if total and buckets[bound] >= share * total), None)


def _part(part: PartReading, rates: _Rates) -> PartFigures:
    memory = part.samples.get("process_resident_memory_bytes", ())
    lag = part.samples.get("engage_event_loop_lag_seconds", ())
    return PartFigures(
        part.name,
        part.address.text,
        part.state,
        part.problems,
        rates.of_part(part, "process_cpu_seconds_total"),
        memory[0][1] if memory else None,
        lag[0][1] if lag else None,
    )


def _same(reading: Reading, part: PartReading) -> PartReading | None:
    """Find a part in an earlier reading, if it was there."""
    found = (each for each in reading.parts if each.address == part.address and each.samples)
    return next(found, None)


def _key(labels: Labels) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(labels.items()))


def _sum(reading: Reading, name: str) -> float | None:
    values = [value for _, value in reading.samples(name)]
    return sum(values) if values else None


def _largest_value(reading: Reading, name: str, **wanted: str) -> float | None:
    values = [value for labels, value in reading.samples(name) if wanted.items() <= dict(labels).items()]
    return max(values, default=None)


def _sum_of_largest(reading: Reading, name: str, label: str) -> float | None:
    """Add up a gauge that all workers read, by a label. 0 where workers read it and there is none."""
    values = _named(reading, name, (label,), max)
    known = _largest_value(reading, "engage_pending_credits") is not None
    return sum(values.values()) if values or known else None


def _sums(reading: Reading, name: str, label: str) -> dict[str, float]:
    found: dict[str, float] = defaultdict(float)
    for labels, value in reading.samples(name):
        found[labels[label]] += value
    return found


def _named(
    reading: Reading, name: str, labels: tuple[str, ...], choose: Callable[[float, float], float]
) -> dict[str, float]:
    found: dict[str, float] = {}
    for each, value in reading.samples(name):
        key = " ".join(each[label] for label in labels)
        found[key] = choose(found[key], value) if key in found else value
    return found


def _largest(values: dict[str, float], *, above: float = 0.0) -> list[tuple[str, float]]:
    items = [(name, value) for name, value in values.items() if value > above]
    return sorted(items, key=lambda item: (-item[1], item[0]))[:SHOWN]


def _loops(reading: Reading) -> list[str]:
    return [
        f"{part.name}: {labels['loop']} {_LOOP_STATES[value]}"
        for part in reading.parts
        for labels, value in part.samples.get("engage_loop_state", ())
        if value in _LOOP_STATES
    ]
