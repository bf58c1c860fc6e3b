"""JSON from outside, decoded to a type."""

import re
from typing import Final, TypeVar

import msgspec

from engage.decoding.malformed import Malformed

T = TypeVar("T")

# Arrays and objects inside each other. Nothing that we read has more than five.
DEPTH: Final = 32

TOO_DEEP: Final = "nested too deeply"

_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_OPENING, _CLOSING = b"[{", b"]}"
_NO_BRACKETS = bytes(set(range(256)) - set(_OPENING + _CLOSING))


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

    Raises Malformed with msgspec's words: the mistake, and its place.
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
        raise Malformed(str(error)) from None
    except UnicodeDecodeError:
        raise Malformed("JSON is malformed: not UTF-8") from None


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
