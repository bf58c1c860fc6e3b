"""Metrics as Prometheus reads them."""

import asyncio

from prometheus_client.parser import text_string_to_metric_families as parse

from engage.metrics.catalogue import Metrics
from engage.metrics.exposition import ProcessMetrics, text_of
from engage.metrics.numbers import MOST_SERIES, OTHER

LONGEST_TURN_S = 0.25  # Far above the few milliseconds of a part, for a busy machine.


async def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = (await text_of(metrics, ProcessMetrics())).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse(text)
        for sample in family.samples
    }


async def test_what_was_counted_is_read() -> None:
    metrics = Metrics()
    metrics.ledger.taps.add("eu", "accepted", by=3)
    metrics.feed.sockets.set(7)
    for seconds in (0.002, 0.3, 99.0):
        metrics.api.request_seconds.observe(seconds, "recordFuelTap")
    found = await samples(metrics)
    assert found["engage_taps_total", (("outcome", "accepted"), ("program", "eu"))] == 3
    assert found["engage_feed_sockets", ()] == 7
    tap = ("operation", "recordFuelTap")
    assert found["engage_request_seconds_bucket", (("le", "0.001"), tap)] == 0
    assert found["engage_request_seconds_bucket", (("le", "0.5"), tap)] == 2
    assert found["engage_request_seconds_bucket", (("le", "+Inf"), tap)] == 3
    assert found["engage_request_seconds_sum", (tap,)] == 99.302
    assert found["process_resident_memory_bytes", ()] > 1_000_000


async def test_labels_are_bounded_however_many_there_are() -> None:
    metrics = Metrics()
    for number in range(10 * MOST_SERIES):
        metrics.ledger.credits_settled.add(f"program-{number}")
        metrics.database.overdue_credits.set(1, f"program-{number}")
        metrics.ledger.settled([(f"program-{number}", 0.5, 1)], swept=False)
    found = await samples(metrics)
    assert sum(name == "engage_credits_settled_total" for name, _ in found) == MOST_SERIES + 1
    assert found["engage_credits_settled_total", (("program", OTHER),)] >= 9 * MOST_SERIES
    assert sum(name == "engage_overdue_credits" for name, _ in found) == MOST_SERIES
    assert found["engage_settlement_lag_seconds_count", (("program", OTHER),)] == 9 * MOST_SERIES


async def test_late_credits_break_a_promise_and_those_of_the_sweep_were_missed() -> None:
    metrics = Metrics()
    metrics.ledger.settled([("eu", 0.2, 5), ("eu", 12.0, 2)], swept=False)
    metrics.ledger.settled([("eu", 4.0, 3), ("eu", 0.9, 1)], swept=True)
    found = await samples(metrics)
    eu = (("program", "eu"),)
    assert found["engage_credits_settled_total", eu] == 11
    assert found["engage_promise_breaches_total", eu] == 2
    assert found["engage_doorbell_missed_credits_total", eu] == 3


async def test_the_event_loop_goes_on_while_ten_thousand_series_are_written() -> None:
    metrics = Metrics()
    for operation in range(300):
        for seconds in (0.001, 0.1, 1.0):
            metrics.api.request_seconds.observe(seconds, f"operation-{operation}")
            metrics.api.requests.add(f"operation-{operation}", f"{operation % 5}xx")
    for program in range(300):
        metrics.ledger.settled([(f"program-{program}", 0.1, 1)], swept=False)
    longest, done = 0.0, asyncio.Event()

    async def watch() -> None:
        nonlocal longest
        now = asyncio.get_running_loop().time
        while not done.is_set():
            began = now()
            await asyncio.sleep(0)
            longest = max(longest, now() - began)

    watching = asyncio.create_task(watch())
    text = await text_of(metrics, ProcessMetrics())
    done.set()
    await watching
    assert text.count(b"\n") > 9_000
    assert longest < LONGEST_TURN_S
