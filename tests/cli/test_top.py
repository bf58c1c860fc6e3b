"""`engage top`: what an installation does now, from the operations ports of its parts."""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace
from rich.console import Console

from engage.cli.top import reading
from engage.cli.top.figures import Figures, figures
from engage.cli.top.reading import AWAY, Address, Reading, read
from engage.cli.top.view import screen
from engage.metrics.catalogue import Metrics
from engage.metrics.exposition import CONTENT_TYPE, ProcessMetrics, text_of
from engage.metrics.port import Page, open_port
from engage.runtime.operations import METRICS, READY
from tests.support.command_line import run
from tests.support.ports import server_port

HOST = "127.0.0.1"
WORKS = b'{"status": "up"}'
FAILS = b'{"status": "down", "parts": {"postgres": "down", "valkey": "up"}, "problems": ["changes"]}'


@asynccontextmanager
async def shown(metrics: Metrics, ready: bytes = WORKS) -> AsyncIterator[Address]:
    """Serve the metrics of a part."""

    async def page() -> Page:
        return Page(await text_of(metrics, ProcessMetrics()), CONTENT_TYPE)

    async def health() -> Page:
        return Page(ready, status=200 if ready == WORKS else 503)

    pages = {METRICS: page, READY: health}
    async with open_port(HOST, 0, pages, metrics.process.operations_requests) as port:
        yield Address(HOST, port)


def part(name: str) -> Metrics:
    metrics = Metrics()
    metrics.process.process_info.set(1, name, "1", "36")
    return metrics


def busy() -> Metrics:
    metrics = part("worker")
    metrics.ledger.taps.add("eu", "accepted", by=100)
    metrics.ledger.settled([("eu", 0.2, 99), ("eu", 40.0, 1)], swept=False)
    metrics.database.pending_credits.set(12)
    metrics.database.overdue_credits.set(3, "eu")
    metrics.database.overdue_points.set(6, "eu")
    metrics.database.budget_used.set(0.96, "eu", "spring", "points")
    metrics.database.budget_used.set(0.2, "eu", "autumn", "points")
    metrics.database.stock_left.set(2, "eu", "phone")
    metrics.process.loop_state.set(2, "gauges")
    return metrics


def text(shown: Figures) -> str:
    console = Console(width=160, record=True, no_color=True, file=io.StringIO())
    console.print(screen(shown, title="engage"))
    return console.export_text()


def seconds_later(earlier: Reading, seconds: float) -> Reading:
    return Reading(earlier.at_s + seconds, earlier.parts)


async def test_rates_are_of_the_time_between_two_looks() -> None:
    metrics = part("api")
    metrics.ledger.taps.add("eu", "accepted", by=1_000)
    before = await reading_of(metrics)
    metrics.ledger.taps.add("eu", "accepted", by=30)
    metrics.ledger.taps.add("bf", "already_tapped", by=10)
    for _ in range(99):
        metrics.api.request_seconds.observe(0.004, "recordFuelTap")
    metrics.api.request_seconds.observe(3.0, "getHome")
    found = figures(before, at_the_same_port(before, await reading_of(metrics), 10))
    assert found.taps == 3.0
    assert found.refused_taps == 1.0
    assert found.tap_p99_s == 0.005


async def test_a_counter_of_a_process_that_began_anew_counts_from_zero() -> None:
    before, after = part("api"), part("api")
    before.ledger.taps.add("eu", "accepted", by=1_000)
    after.ledger.taps.add("eu", "accepted", by=20)
    first, second = await reading_of(before), await reading_of(after)
    assert figures(first, at_the_same_port(first, second, 10)).taps == 2.0


async def test_what_is_wrong_is_shown_and_a_part_that_is_away_is_named() -> None:
    async with shown(busy()) as worker, shown(part("feed"), FAILS) as feed:
        away = Address(HOST, server_port(), "api")
        before = await read([worker, feed, away])
        now = await read([worker, feed, away])
    found = figures(before, now)
    assert [(each.name, each.state) for each in found.parts] == [
        ("worker", "up"),
        ("feed", "down"),
        ("api", AWAY),
    ]
    assert found.overdue == 3
    assert found.budgets == [("eu spring points", 0.96)]
    assert found.breaches == [("eu", 1)]
    page = text(found)
    for line in ("3, 6", "eu spring points", "96%", "eu phone", "! worker: gauges is stuck"):
        assert line in page
    assert "! feed: postgres is down" in page
    assert "autumn" not in page


async def test_a_part_that_is_late_with_its_readiness_still_shows_its_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading, "READY", "/elsewhere")
    metrics = part("api")
    metrics.ledger.taps.add("eu", "accepted")
    (read_,) = (await reading_of(metrics)).parts
    assert (read_.name, read_.state) == ("api", "down")
    assert read_.problems == ["no answer about its readiness"]
    assert read_.samples["engage_taps_total"]


async def test_without_a_worker_its_gauges_are_not_zero_but_unknown() -> None:
    first = await reading_of(part("api"))
    found = figures(first, seconds_later(first, 1))
    assert (found.pending, found.overdue, found.outbox_rows) == (None, None, None)
    worker = part("worker")
    worker.database.pending_credits.set(0)
    first = await reading_of(worker)
    assert figures(first, seconds_later(first, 1)).overdue == 0


async def test_once_it_is_plain_text_and_ends(tmp_path: Path) -> None:
    async with shown(busy()) as address:
        ports = (address.text, f"{HOST}:{server_port()}")
        status, output = await run(None, "top", "--once", "--interval", "0.2", *ports, cwd=tmp_path)
    assert status == 0, output
    assert "\x1b" not in output
    assert "worker" in output
    assert AWAY in output
    status, output = await run(None, "top", "--once", "--data", str(tmp_path), cwd=tmp_path)
    assert status == 1
    assert "nothing runs in" in output


async def reading_of(metrics: Metrics) -> Reading:
    async with shown(metrics) as address:
        return await read([address])


def at_the_same_port(before: Reading, after: Reading, seconds: float) -> Reading:
    """Return a later reading as if its only part had the port of an earlier one."""
    (was,), (is_,) = before.parts, after.parts
    return Reading(before.at_s + seconds, [replace(is_, address=was.address)])
