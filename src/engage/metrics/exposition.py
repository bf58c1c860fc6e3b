"""The text that Prometheus reads, made of a process's numbers by the client library.

Ten thousand series take tens of milliseconds. The text is made in parts of a millisecond or two, and whoever
waits for the event loop gets it in between. In a thread it would be no better: threads share one interpreter,
and the loop would wait for its turn again and again.
"""

from asyncio import sleep
from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client import GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.samples import Sample

from engage.metrics.catalogue import Metrics
from engage.metrics.numbers import Family

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
SAMPLES_AT_ONCE: Final = 100


class ProcessMetrics:
    """The client library's metrics of this process: memory, processor, descriptors, garbage collections."""

    def __init__(self) -> None:
        registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        return self._registry.collect()


async def text_of(metrics: Metrics, process: ProcessMetrics) -> bytes:
    """Write all metrics in Prometheus' text format, a few samples in each turn of the event loop."""
    metrics.read()
    written: list[bytes] = []
    for family in metrics.families():
        await _write(metric_of(family), written)
        await sleep(0)
    for metric in process.collect():
        await _write(metric, written)
    return b"".join(written)


def metric_of(family: Family) -> Metric:
    """Make a metric of the client library."""
    metric = Metric(family.name, family.help, family.type)
    for point in family.points():
        labels = dict(zip(family.labels, point.labels, strict=True))
        if point.bound:
            labels["le"] = point.bound
        metric.samples.append(Sample(family.name + point.suffix, labels, point.value))
    return metric


async def _write(metric: Metric, written: list[bytes]) -> None:
    for number, part in enumerate(_parts(metric)):
        lines = generate_latest(_One(part))
        if number:
            # The first part has said what the metric is.
            lines = b"".join(line for line in lines.splitlines(keepends=True) if not line.startswith(b"#"))
        written.append(lines)
        if len(part.samples) == SAMPLES_AT_ONCE:
            await sleep(0)


def _parts(metric: Metric) -> Iterator[Metric]:
    for first in range(0, max(len(metric.samples), 1), SAMPLES_AT_ONCE):
        part = Metric(metric.name, metric.documentation, metric.type)
        part.samples = metric.samples[first : first + SAMPLES_AT_ONCE]
        yield part


class _One(Collector):
    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterable[Metric]:
        return (self._metric,)
