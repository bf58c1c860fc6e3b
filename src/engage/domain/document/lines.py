"""Lines of a TOML document: where its fields stand, so that a mistake can be shown at its line."""

import re
from collections.abc import Mapping
from typing import Final

from engage.domain.document.errors import join

_HEADER: Final = re.compile(r"\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY: Final = re.compile(r"\s*([A-Za-z0-9_-]+|\"[^\"]+\")\s*=")
_LINE_AND_COLUMN: Final = re.compile(r"line (\d+)")


def line_of(text: str, path: str) -> int | None:
    """The line, from 1 on, of the field at a path such as `boosts[0].multiply`, or of the innermost table
    around it that has one; None for a field that is not there.
    """
    place = _LINE_AND_COLUMN.search(path)
    if place:
        return int(place[1])
    known = lines_of(text)
    while path:
        if path in known:
            return known[path]
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return None


def lines_of(text: str) -> Mapping[str, int]:
    """The line of each table and of each key that begins a line, by its path."""
    found: dict[str, int] = {}
    counts: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        header, key = _HEADER.match(line), _KEY.match(line)
        if key:
            found.setdefault(join(table, key[1].strip('"')), number)
        elif header:
            table = _table(header[2], counts, is_item=header[1] == "[[")
            found.setdefault(table, number)
    return found


def _table(name: str, counts: dict[str, int], *, is_item: bool) -> str:
    """The path of a table. Its parents that are lists are those of their newest item."""
    path = ""
    parts = [part.strip().strip('"') for part in name.split(".")]
    for n, part in enumerate(parts):
        path = join(path, part)
        if is_item and n == len(parts) - 1:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = f"{path}[{counts[path]}]"
    return path
