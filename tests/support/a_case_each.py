"""One case of each test, for a second run on another day and in another zone.

The cases of a test run the same code, which reads a clock in all of them or in none. They differ in values
that are the same on every day. Only where such a value is a time, the day can matter to one case alone.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import date, time, timedelta, tzinfo
from functools import cache
from zoneinfo import available_timezones

from msgspec import Struct

_DATE_OR_DURATION = re.compile(r"\d{4}-\d\d|\d\d:\d\d|\bP(T?\d+[YMWDHS])+")


class Case(Struct, frozen=True):
    """A test function by its file and name, and the values of one of its cases."""

    test: str
    values: Mapping[str, object] = {}


def a_case_each(cases: Iterable[Case]) -> list[bool]:
    """Choose the first case of each test, and those about times."""
    seen: set[str] = set()
    chosen = []
    for case in cases:
        chosen.append(case.test not in seen or any(map(_is_about_time, case.values.values())))
        seen.add(case.test)
    return chosen


def _is_about_time(value: object) -> bool:
    """Search a value to any depth: cases of deep bodies nest further than Python calls."""
    waiting = [value]
    while waiting:
        match waiting.pop():
            case date() | time() | timedelta() | tzinfo():
                return True
            case str() as text if _DATE_OR_DURATION.search(text) or text in _zones():
                return True
            case list() | tuple() | set() | frozenset() as values:
                waiting.extend(values)
            case dict() as mapping:
                waiting.extend(mapping.values())
            case Struct() as struct:
                waiting.extend(getattr(struct, name) for name in struct.__struct_fields__)
    return False


@cache
def _zones() -> set[str]:
    return available_timezones()
