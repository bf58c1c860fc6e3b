"""Exceptions in the logs: their types and places, without their texts.

The text of an error is made of values: of a row (`Key (phone)=(…) already exists`), of a body, of a key. The
type, the place and the codes of a server are enough to find a bug, and hold nothing of anybody.
"""

import re
import traceback
from pathlib import PurePath
from typing import Final

from msgspec import Struct

FRAMES: Final = 30
CAUSES: Final = 8

# Attributes of errors that are codes and names of a schema.
_CODES: Final = ("sqlstate", "constraint_name", "table_name", "column_name", "errno", "status_code", "code")
_CODE: Final = re.compile(r"[A-Za-z0-9_.\-]{1,63}")

# Their texts name what is in the code.
_OF_CODE: Final = (AttributeError, NameError, ImportError)
_NAMES_ONLY: Final = re.compile(r"[\w .'\"(){}:,/\-]{1,200}")


class Location(Struct, frozen=True):
    file: str
    line: int
    function: str

    @property
    def text(self) -> str:
        return f"{_short(self.file)}:{self.line} {self.function}"


def failure_text(error: BaseException) -> str:
    """The error with what caused it, the first cause last: a line for each error and each frame."""
    lines: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen and len(seen) < CAUSES:
        seen.add(id(current))
        lines.append(_name(current))
        frames = traceback.extract_tb(current.__traceback__)[-FRAMES:]
        lines += [f"  {Location(frame.filename, frame.lineno or 0, frame.name).text}" for frame in frames]
        if isinstance(current, BaseExceptionGroup):
            lines += [f"  holds {_name(each)}" for each in current.exceptions[:CAUSES]]
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
        if current is not None:
            lines.append("caused by")
    return "\n".join(lines)


def _name(error: BaseException) -> str:
    kind = type(error)
    codes = [
        f"{name}={value}"
        for name in _CODES
        if (value := getattr(error, name, None)) is not None and _CODE.fullmatch(str(value))
    ]
    text = str(error) if isinstance(error, _OF_CODE) else ""
    parts = [f"{kind.__module__}.{kind.__qualname__}", *codes]
    if text and _NAMES_ONLY.fullmatch(text):
        parts.append(text)
    return " ".join(parts)


def _short(path: str) -> str:
    """The last three parts of a path."""
    return "/".join(PurePath(path).parts[-3:])
