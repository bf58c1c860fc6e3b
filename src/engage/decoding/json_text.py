"""JSON from outside, decoded to a type."""

import re
from typing import Final, TypeVar

import msgspec

from engage.decoding.malformed import Malformed

T = TypeVar("T")

# Arrays and objects inside each other. Nothing that we read has more than five.
DEPTH: Final = 32

TOO_DEEP: Final = "nested too deeply"
_NO_END: Final = "JSON is malformed: no end of the array or object"

_OPENING, _CLOSING = b"[{", b"]}"
_END: Final = {b"[": b"]", b"{": b"}"}
_NO_BRACKETS = bytes(set(range(256)) - set(_OPENING + _CLOSING))

_STRING = rb'"(?:[^"\\]++|\\.)*+"'
# msgspec's words, and ours. A character beyond 16 bits is escaped as two halves.
_TRUNCATED: Final = "Input data was truncated"
_TOO_SHORT: Final = "JSON is malformed: it ends too early"
_HALF: Final = "JSON is malformed: half of a character"
_PLACE = re.compile(r" \(byte [0-9]+\)\Z")
_FIRST_HALF = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}")

_STRINGS = re.compile(_STRING, re.DOTALL)
# Up to the next run of brackets, over strings.
_TO_BRACKETS = re.compile(rb'(?:[^"\[\]{}]++|%b)*+(?:([\[{]++)|([\]}]++))' % _STRING, re.DOTALL)
_TO_COMMA = re.compile(rb'(?:[^"\[\]{},]++|%b)*+([\[\]{},])' % _STRING, re.DOTALL)


def split_json(text: bytes, *, most: int) -> list[bytes]:
    """Split a list into its items, or an object into its members, none of which is decoded.

    Looks at strings, brackets and commas alone, so a mistake inside an item is found with that item. Takes
    time in proportion to the length, whatever the depth. Stops after `most` items: one more says that there
    are too many.

    Raises Malformed where the list or object has no end, an item is missing, or something stands before or
    after it.
    """
    stripped = text.strip()
    if not stripped.startswith((b"[", b"{")):
        raise Malformed("JSON is malformed: neither an array nor an object")
    items: list[bytes] = []
    begins = at = 1
    while True:
        found = _TO_COMMA.match(stripped, at)
        if found is None:
            raise Malformed(_NO_END)
        at, mark = found.end(), found[1]
        if mark == b",":
            items.append(stripped[begins : at - 1])
            begins = at
            if len(items) > most:
                return items
        elif mark in (b"[", b"{"):
            at = _end_of_inner(stripped, at)
        else:
            break
    last = stripped[begins : at - 1]
    if stripped[at:] or stripped[at - 1 : at] != _END[stripped[:1]]:
        raise Malformed("JSON is malformed: trailing characters")
    if not items and not last.strip():
        return []
    items.append(last)
    if not all(map(bytes.strip, items)):
        raise Malformed("JSON is malformed: nothing between two commas")
    return items


def _end_of_inner(text: bytes, at: int) -> int:
    """The place after the list or object that begins before `at`. Raises Malformed where it has no end."""
    level = 1
    while found := _TO_BRACKETS.match(text, at):
        opened, closed = found.span(1), found.span(2)
        if found[1] is not None:
            level += opened[1] - opened[0]
        elif closed[1] - closed[0] >= level:
            return closed[0] + level
        else:
            level -= closed[1] - closed[0]
        at = found.end()
    raise Malformed(_NO_END)


def decode_json(
    text: bytes | msgspec.Raw,
    decoder: msgspec.json.Decoder[T],
    *,
    limit_bytes: int | None = None,
    depth: int | None = DEPTH,
) -> T:
    """Decode a text to the decoder's type.

    `limit_bytes`: None where the caller has read no more than a limit. `depth`: None where the decoder keeps
    the parts raw, and the caller decodes them here too. A number beyond 4,300 digits, a string with half an
    emoji, and bytes that are not UTF-8 are malformed.

    Raises Malformed with the mistake and its place.
    """
    octets = bytes(text)
    if limit_bytes is not None and len(octets) > limit_bytes:
        raise Malformed(f"longer than {limit_bytes} bytes")
    if depth is not None and _deeper_than(octets, depth):
        raise Malformed(TOO_DEEP)
    try:
        return decoder.decode(octets)
    except RecursionError:
        raise Malformed(TOO_DEEP) from None
    except msgspec.MsgspecError as error:
        raise Malformed(_in_words(str(error), octets)) from None
    except UnicodeDecodeError:
        raise Malformed("JSON is malformed: not UTF-8") from None


def has_more_containers(text: bytes, most: int) -> bool:
    """Return whether a text, sound or not, has more lists and objects than that."""
    if text.count(b"[") + text.count(b"{") <= most:
        return False
    outside = _STRINGS.sub(b"", text)
    return outside.count(b"[") + outside.count(b"{") > most


def _in_words(mistake: str, octets: bytes) -> str:
    if mistake == _TRUNCATED:
        # The other half is longer than what comes after the first one.
        return _HALF if _FIRST_HALF.search(octets[-12:]) else _TOO_SHORT
    if "surrogate" in mistake:
        place = _PLACE.search(mistake)
        return _HALF if place is None else _HALF + place[0]
    return mistake


def _deeper_than(octets: bytes, depth: int) -> bool:
    """Count before decoding: a decoder recurses, and so does everything that walks what it made."""
    if octets.count(b"[") + octets.count(b"{") <= depth:
        return False
    level = 0
    for bracket in _STRINGS.sub(b"", octets).translate(None, delete=_NO_BRACKETS):
        level += 1 if bracket in _OPENING else -1
        if level > depth:
            return True
    return False
