"""Codes of coupons and F-codes: twenty signs of Crockford's alphabet, in groups of five.

It has no I, L, O and U, so nothing is taken for something else when a person reads a code out or types it.
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
        description="The code of a coupon or an F-code. Case, spaces and hyphens are ignored.",
    ),
]

# 32 signs: 20 of them are 100 bits.
CODE_BITS: Final = 100

_SIGNS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LENGTH: Final = CODE_BITS // 5
_GROUP: Final = 5
_READ_AS: Final = str.maketrans({"O": "0", "I": "1", "L": "1", "-": "", " ": ""})


def code_of(number: int) -> str:
    """The code that stands for a number of CODE_BITS."""
    assert 0 <= number < 1 << CODE_BITS
    signs = "".join(_SIGNS[number >> 5 * place & 31] for place in reversed(range(_LENGTH)))
    return "-".join(signs[n : n + _GROUP] for n in range(0, _LENGTH, _GROUP))


def read_code(typed: str) -> str | None:
    """A code as a person typed it, as we write it; None where it cannot be one of ours."""
    signs = typed.upper().translate(_READ_AS)
    if not typed.isascii() or len(signs) != _LENGTH or not set(signs) <= set(_SIGNS):
        return None
    return "-".join(signs[n : n + _GROUP] for n in range(0, _LENGTH, _GROUP))
