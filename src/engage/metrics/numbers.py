"""Counters, gauges and histograms as plain numbers, counted by the one thread of the event loop.

The client library's own take a lock and several calls for each change. These become its metrics when they are
read (`engage.metrics.exposition`).
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

from msgspec import Struct

Labels: TypeAlias = tuple[str, ...]

# Labels come from programs, campaigns and rules, of which operators can make many.
MOST_SERIES: Final = 300
OTHER: Final = "other"

# From a fast answer to the longest that a request waits.
LATENCY_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Point(Struct, frozen=True):
    """A sample: what follows the name of its metric, its labels, and its value."""

    suffix: str
    labels: Labels
    value: float
    bound: str = ""  # Of a bucket.


class Family:
    """A metric with its labels. `name` is without the suffix `_total`. From the series after MOST_SERIES on,
    all others are one whose labels are OTHER.
    """

    type = ""

    def __init__(self, name: str, help: str, labels: Labels = (), *, most: int = MOST_SERIES) -> None:  # noqa: A002 - as Prometheus calls it.
        self.name = name
        self.help = help
        self.labels = labels
        self.most = most

    def _bounded(self, labels: Labels, count: int) -> Labels:
        assert len(labels) == len(self.labels), (self.name, labels)
        return labels if count < self.most else (OTHER,) * len(self.labels)

    def points(self) -> Iterator[Point]:
        """Yield the samples."""
        raise NotImplementedError


class Counter(Family):
    """A number that only rises."""

    type = "counter"

    def __init__(self, name: str, help: str, labels: Labels = (), *, most: int = MOST_SERIES) -> None:  # noqa: A002
        super().__init__(name, help, labels, most=most)
        self.numbers: dict[Labels, float] = {}

    def add(self, *labels: str, by: float = 1) -> None:
        numbers = self.numbers
        if labels not in numbers:
            labels = self._bounded(labels, len(numbers))
            numbers.setdefault(labels, 0)
        numbers[labels] += by

    def reached(self, value: float, *labels: str) -> None:
        """Set the number to what is counted elsewhere."""
        self.numbers[labels] = value

    def points(self) -> Iterator[Point]:
        for labels, value in self.numbers.items():
            yield Point("_total", labels, value)


class Gauge(Family):
    """A number as it is now."""

    type = "gauge"

    def __init__(self, name: str, help: str, labels: Labels = (), *, most: int = MOST_SERIES) -> None:  # noqa: A002
        super().__init__(name, help, labels, most=most)
        self.numbers: dict[Labels, float] = {}

    def set(self, value: float, *labels: str) -> None:
        """Set a series. Beyond `most` series it is left out: a sum of gauges would say nothing."""
        if labels in self.numbers or self._bounded(labels, len(self.numbers)) == labels:
            self.numbers[labels] = value

    def replace(self, values: Iterable[tuple[Labels, float]]) -> None:
        """Set all series; those that are not named are gone."""
        self.numbers = {}
        for labels, value in values:
            self.set(value, *labels)

    def points(self) -> Iterator[Point]:
        for labels, value in self.numbers.items():
            yield Point("", labels, value)


class Observed:
    """The buckets of a series. The last one is for what is above all bounds."""

    __slots__ = ("counts", "sum")

    def __init__(self, size: int) -> None:
        self.counts = [0] * size
        self.sum = 0.0


class Histogram(Family):
    """Observations in buckets. `bounds` are the largest values of each."""

    type = "histogram"

    def __init__(
        self,
        name: str,
        help: str,  # noqa: A002
        labels: Labels = (),
        *,
        bounds: tuple[float, ...] = LATENCY_S,
        most: int = MOST_SERIES,
    ) -> None:
        super().__init__(name, help, labels, most=most)
        self.bounds = bounds
        self._series: dict[Labels, Observed] = {}

    def observe(self, value: float, *labels: str, times: int = 1) -> None:
        series = self._series.get(labels)
        if series is None:
            series = self._added(self._bounded(labels, len(self._series)))
        series.counts[bisect_left(self.bounds, value)] += times
        series.sum += value * times

    def observe_all(self, values: Iterable[tuple[float, int]], *labels: str) -> None:
        """Observe many values of a series, each so many times."""
        series = self.series(*labels)
        counts, bounds, total = series.counts, self.bounds, 0.0
        for value, times in values:
            counts[bisect_left(bounds, value)] += times
            total += value * times
        series.sum += total

    def series(self, *labels: str) -> Observed:
        """Return the buckets of a series, to be counted in directly."""
        return self._series.get(labels) or self._added(self._bounded(labels, len(self._series)))

    def _added(self, labels: Labels) -> Observed:
        return self._series.setdefault(labels, Observed(len(self.bounds) + 1))

    def points(self) -> Iterator[Point]:
        bounds = [*map(str, self.bounds), "+Inf"]
        for labels, series in self._series.items():
            total = 0
            for bound, count in zip(bounds, series.counts, strict=True):
                total += count
                yield Point("_bucket", labels, total, bound)
            yield Point("_count", labels, total)
            yield Point("_sum", labels, series.sum)
