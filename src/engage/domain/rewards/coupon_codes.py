"""Codes of coupons and F-codes: twenty characters of Crockford's Base32 alphabet, in groups of five.

It has no I, L, O and U, so that people do not confuse characters when they read a code out or type it.
"""

from typing import Annotated, Final

from msgspec import Meta

from engage.domain.activity import ONE_LINE

CouponCode = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern=ONE_LINE,
        description="the code of a coupon or an F-code, whose case, spaces and hyphens are ignored",
    ),
]

# Each of the 20 characters has 5 bits.
CODE_BITS: Final = 100

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LENGTH: Final = CODE_BITS // 5
_GROUP: Final = 5
_CORRECTIONS: Final = str.maketrans({"O": "0", "I": "1", "L": "1", "-": "", " ": ""})


def code_of(number: int) -> str:
    """Encode a number of CODE_BITS."""
    assert 0 <= number < 1 << CODE_BITS
    characters = "".join(_ALPHABET[number >> 5 * n & 31] for n in reversed(range(_LENGTH)))
    return "-".join(characters[n : n + _GROUP] for n in range(0, _LENGTH, _GROUP))


def read_code(typed: str) -> str | None:
    """Normalize a typed code; None for a text that cannot be a code."""
    characters = typed.upper().translate(_CORRECTIONS)
    if not typed.isascii() or len(characters) != _LENGTH or not set(characters) <= set(_ALPHABET):
        return None
    return "-".join(characters[n : n + _GROUP] for n in range(0, _LENGTH, _GROUP))
