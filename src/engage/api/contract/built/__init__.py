"""The OpenAPI documents that an API serves, as JSON. `engage openapi` writes them, `--check` compares them.

Making one takes seconds of a processor, in which an API answers its members late. They are in the package
because neither a build nor a start can make them cheaply: a build would need all that engage needs.
"""

from pathlib import Path
from typing import Any, Final

import msgspec

FOLDER: Final = Path(__file__).parent

# An entry of the document at this depth has a line of its own, so that changes are read and merged.
_DEPTH: Final = 3


def name_of(*, sandbox: bool) -> str:
    """Return the name of the document of an API."""
    return "sandbox.json" if sandbox else "engage.json"


def read_built(*, sandbox: bool) -> bytes:
    """Return the document of an API. Raises FileNotFoundError in a tree where it has never been written."""
    return (FOLDER / name_of(sandbox=sandbox)).read_bytes()


def as_json(made: dict[str, Any]) -> str:
    return _lines(made, _DEPTH) + "\n"


def _lines(value: Any, depth: int) -> str:
    if depth and isinstance(value, dict) and value:
        entries = (f"{_compact(name)}:{_lines(each, depth - 1)}" for name, each in value.items())
        return "{\n" + ",\n".join(entries) + "\n}"
    return _compact(value)


def _compact(value: Any) -> str:
    return msgspec.json.encode(value).decode()
