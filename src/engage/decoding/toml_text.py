"""TOML from outside, as a table of Python values.

`tomllib` is exact, and unbounded: its time is quadratic in the parts of a dotted key, Python refuses to read
or write integers of many digits, and whoever walks a deep table recurses. So the parts of keys are counted
before it reads, and its result is checked before anybody walks it.
"""

import re
import tomllib
from typing import Any, Final

from engage.decoding.malformed import Malformed

# Characters of a text. A document of the largest preset has 45,000; 256 Ki take less than a second.
LONGEST_TEXT: Final = 256 * 1024
KEY_PARTS: Final = 16
LONGEST_KEY: Final = 128
DEPTH: Final = 32
ITEMS: Final = 2_000  # Of one list or table.
INTEGERS: Final = range(-(2**63), 2**63)  # What TOML asks a parser to handle.

_ERROR = re.compile(r"(?P<mistake>.*) \(at (?P<place>.*)\)\Z", re.DOTALL)

_PART = r"""(?:[A-Za-z0-9_-]++|"(?:[^"\\\n]|\\[^\n])*+"|'[^'\n]*+')"""
_DOT = r"[ \t]*+\.[ \t]*+"
# The tokens that can hide a dot: keys, strings and comments. Whatever is between them is left out.
_TOKENS = re.compile(
    rf"(?P<long>{_PART}(?:{_DOT}{_PART}){{{KEY_PARTS},}})"
    r'|"""(?:[^"\\]|\\.|"(?!""))*+"""'
    r"|'''(?:[^']|'(?!''))*+'''"
    rf"|{_PART}|\#[^\n]*+",
    re.DOTALL,
)


class MalformedToml(Malformed):
    """`place` is a line and column, a path, or "the document"; `found` says what is wrong there."""

    def __init__(self, place: str, found: str) -> None:
        self.place = place
        self.found = found
        super().__init__(f"{place}: {found}")


def decode_toml(text: str) -> dict[str, Any]:
    """Decode a text. Raises MalformedToml with the first mistake or the first limit that is passed."""
    # Some editors begin a file with a byte order mark.
    text = text.removeprefix("\ufeff")
    if len(text) > LONGEST_TEXT:
        raise MalformedToml("the document", f"{len(text)} characters, more than {LONGEST_TEXT}")
    for token in _TOKENS.finditer(text):
        if token["long"] is not None:
            line = text.count("\n", 0, token.start()) + 1
            raise MalformedToml(f"line {line}", f"a key with more than {KEY_PARTS} parts")
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = _ERROR.match(str(error))
        mistake, place = (match["mistake"], match["place"]) if match else (str(error), "the document")
        raise MalformedToml(place, mistake[:1].lower() + mistake[1:]) from None
    except RecursionError:
        raise MalformedToml("the document", "lists or tables nested too deeply") from None
    except ValueError:  # Of int(), which reads no more than 4,300 digits, and of dates that do not exist.
        raise MalformedToml("the document", "a number or a date that is out of range") from None
    _check(table)
    return table


def _check(table: dict[str, Any]) -> None:
    """Compare every value with the limits, without recursion. Raises MalformedToml."""
    waiting: list[tuple[str, int, object]] = [("the document", 0, table)]
    while waiting:
        place, depth, value = waiting.pop()
        match value:
            case int() if value not in INTEGERS:
                raise MalformedToml(place, "an integer beyond 64 bits")
            case str() if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
                raise MalformedToml(place, "half of a surrogate pair")
            case dict() | list():
                if len(value) > ITEMS:
                    raise MalformedToml(place, f"{len(value)} items, more than {ITEMS}")
                if depth == DEPTH:
                    raise MalformedToml(place, "lists or tables nested too deeply")
                for key in value if isinstance(value, dict) else ():
                    if len(key) > LONGEST_KEY:
                        raise MalformedToml(place, f"a key of more than {LONGEST_KEY} characters")
                # The name of the outermost field says where well enough, and costs nothing.
                inside = value.items() if isinstance(value, dict) else ((place, item) for item in value)
                waiting += [(key if depth == 0 else place, depth + 1, item) for key, item in inside]
