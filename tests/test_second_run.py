"""A second run on another day plays one case of each test, and all cases that are about times."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.a_case_each import Case, a_case_each
from tests.support.reads_of_time import reads_of_time

TESTS = Path(__file__).parent

# The second run of .ci/run leaves these out.
OF_PURE_CODE = ("domain", "decoding", "messages")
RUNNING_CLOCKS = ("engage.clock", "machine_time", "running_clock", "set_sandbox_clock")


def test_the_first_case_of_each_test_is_chosen() -> None:
    cases = [Case("f.py::test_a", {"n": 1}), Case("f.py::test_a", {"n": 2}), Case("g.py::test_a", {"n": 2})]
    assert a_case_each(cases) == [True, False, True]
    assert a_case_each([Case("f.py::test_a"), Case("f.py::test_b")]) == [True, True]


@pytest.mark.parametrize(
    "value",
    [
        date(2026, 2, 28),
        datetime(2026, 2, 28, tzinfo=UTC),
        timedelta(days=1),
        "2026-02-28",
        "P30D",
        "Europe/Madrid",
        ("a", [timedelta(1)]),
        {"a": "PT1H"},
    ],
)
def test_a_case_that_is_about_a_time_is_chosen(value: object) -> None:
    cases = [Case("f.py::test_a", {"value": "a"}), Case("f.py::test_a", {"value": value})]
    assert a_case_each(cases) == [True, True]


def test_values_nested_deeper_than_calls_can_be_are_searched() -> None:
    deep: object = "a"
    deep_and_late: object = "2026-02-28"
    for _ in range(100_000):
        deep, deep_and_late = [deep], [deep_and_late]
    cases = [Case("f.py::test_a", {"value": value}) for value in ("a", deep, deep_and_late)]
    assert a_case_each(cases) == [True, False, True]


@pytest.mark.parametrize("folder", OF_PURE_CODE)
def test_tests_of_pure_code_read_no_time(folder: str) -> None:
    files = sorted((TESTS / folder).rglob("*.py"))
    assert files
    assert [found for file in files for found in reads_of_time(file)] == []
    texts = {file.name: file.read_text(encoding="utf-8") for file in files}
    assert [file for file, text in texts.items() for name in RUNNING_CLOCKS if name in text] == []
