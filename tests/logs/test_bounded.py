"""Lines that callers can cause are bounded, and none is left out without a word."""

import pytest
from structlog.testing import capture_logs

from engage.logs.bounded import BURST, LINES_PER_S, BoundedLog


@pytest.mark.parametrize("a_second", [1_000, 100_000])
def test_a_flood_of_refusals_writes_few_lines_and_counts_the_rest(a_second: int) -> None:
    now = 0.0
    log = BoundedLog("test", now=lambda: now)
    seconds = 60
    with capture_logs() as lines:
        for n in range(a_second * seconds // 100):
            now = n * 100 / a_second
            log.write("warning", "credentials were refused", reason="expired")
    assert len(lines) <= BURST + LINES_PER_S * seconds
    written = len(lines) + sum(line.get("left_out_before", 0) for line in lines)
    now += 1
    with capture_logs() as more:
        log.write("info", "a request was refused")
    left_out = sum(line.get("left_out_before", 0) for line in more)
    assert written + left_out == a_second * seconds // 100


def test_a_few_refusals_are_all_written() -> None:
    log = BoundedLog("test", now=lambda: 0.0)
    with capture_logs() as lines:
        for number in range(BURST):
            log.write("info", "a request was refused", number=number)
    assert [line["number"] for line in lines] == list(range(BURST))
    assert not any("left_out_before" in line for line in lines)
