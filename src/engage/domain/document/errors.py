"""Problems of a document, written so that its author can fix them."""

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time

from msgspec import Struct

LONGEST_FOUND = 60

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+\Z")


class Problem(Struct, frozen=True):
    """A place in a document, the expected value and the found one, both in words.

    `path` is that of a field (`rules[2].award.points`, counted from 0), or a line and column in a text that
    is not TOML.
    """

    path: str
    expected: str
    found: str

    @property
    def mistake(self) -> str:
        return f"expected {self.expected}, got {self.found}"

    def __str__(self) -> str:
        return f"{self.path}: {self.mistake}"


class Mismatch(ValueError):
    """Raised by a struct whose fields contradict each other: what was expected, and what was found."""

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(f"expected {expected}, got {found}")
        self.expected = expected
        self.found = found


class DocumentError(ValueError):
    """A document with problems, at least one."""

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.source = source
        self.problems = list(problems)
        super().__init__("\n".join(f"{source}: {problem}" for problem in problems))


def join(path: str, key: str) -> str:
    """The path of a field in a table, with the key quoted where TOML quotes it."""
    bare = key if _BARE_KEY.match(key) else f'"{key}"'
    if len(bare) > LONGEST_FOUND:
        bare = bare[: LONGEST_FOUND - 1] + "…"
    return f"{path}.{bare}" if path else bare


def shown(value: object) -> str:
    """A decoded TOML value in a few words, close to how it is written there."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case str():
            cut = value if len(value) <= LONGEST_FOUND else value[: LONGEST_FOUND - 1] + "…"
            return '"' + cut.encode("unicode_escape").decode() + '"' if not cut.isprintable() else f'"{cut}"'
        case datetime() | date() | time():
            return value.isoformat()
        case dict():
            return "a table"
        case list():
            return "an empty list" if not value else f"a list of {len(value)}"
        case int() | float():
            return str(value)[:LONGEST_FOUND]
        case _:
            return str(value)


def one_of(names: Iterable[str]) -> str:
    """`a`, or `a or b`, or `one of a, b, c`."""
    listed = list(names)
    return " or ".join(listed) if len(listed) < 3 else f"one of {', '.join(listed)}"


def duplicates(values: Sequence[object], path: str) -> Iterator[Problem]:
    """The problems of values that repeat an earlier one of the list at `path`."""
    for n, value in enumerate(values):
        if value in values[:n]:
            yield Problem(f"{path}[{n}]", "no duplicates", f"{shown(value)} again")


def duplicate_names(names: Sequence[str], path: str, field: str) -> Iterator[Problem]:
    """The problems of items in the list at `path` whose `field`, such as `id`, repeats an earlier one."""
    for n, name in enumerate(names):
        first = names.index(name)
        if first < n:
            found = f"{shown(name)}, which {path}[{first}] has"
            yield Problem(f"{path}[{n}].{field}", f"a unique {field}", found)


def nearest(name: str, known: Iterable[str]) -> str:
    """` (did you mean …?)`, or nothing when no known name is close."""
    if len(name) > LONGEST_FOUND:
        return ""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.72)
    return f" (did you mean {found[0]}?)" if found else ""
