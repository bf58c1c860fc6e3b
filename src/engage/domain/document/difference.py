"""Differences between two documents, field by field."""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from engage.domain.document.errors import join


class Difference(Struct, frozen=True):
    """A field whose values differ. `field` is its path; null stands for a value that is not there."""

    field: str
    yours: Any
    theirs: Any


def differences(yours: Any, theirs: Any, path: str = "") -> list[Difference]:
    """The innermost fields in which two decoded documents differ, in their order."""
    return list(_differences(yours, theirs, path))


def _differences(yours: Any, theirs: Any, path: str) -> Iterator[Difference]:
    match yours, theirs:
        case dict(), dict():
            for name in dict.fromkeys([*yours, *theirs]):
                yield from _differences(yours.get(name), theirs.get(name), join(path, name))
        case list(), list() if path and _of_tables(yours, theirs):
            for n in range(max(len(yours), len(theirs))):
                one, other = (each[n] if n < len(each) else None for each in (yours, theirs))
                yield from _differences(one, other, f"{path}[{n}]")
        case _ if yours != theirs:
            yield Difference(path, yours, theirs)


def _of_tables(*lists: list[Any]) -> bool:
    """Short lists of plain values are one value, which is easier to read than its places."""
    return any(isinstance(item, dict | list) for each in lists for item in each)


def by_ids(value: Any) -> Any:
    """A decoded document whose lists of tables with ids are tables by these ids, so that a table is compared
    with the one of the same id, wherever it stands.
    """
    match value:
        case dict():
            return {name: by_ids(inner) for name, inner in value.items()}
        case [*items] if items and all(isinstance(item, dict) and "id" in item for item in items):
            return {str(item["id"]): by_ids(item) for item in items}
        case _:
            return value
