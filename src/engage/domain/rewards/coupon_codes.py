"""Codes of coupons and F-codes: twenty characters of Crockford's Base32 alphabet, in groups of five."""

from typing import Annotated, Final

from msgspec import Meta

from engage.domain import codes
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

CODE_BITS: Final = 100

_LENGTH: Final = CODE_BITS // codes.BITS_PER_CHARACTER
_GROUP: Final = 5


def code_of(number: int) -> str:
    """Encode a number of CODE_BITS."""
    return _grouped(codes.encode(number, _LENGTH))


def read_code(typed: str) -> str | None:
    """Normalize a typed code; None for a text that cannot be a code."""
    characters = codes.read(typed, range(_LENGTH, _LENGTH + 1))
    return None if characters is None else _grouped(characters)


def _grouped(characters: str) -> str:
    return "-".join(characters[n : n + _GROUP] for n in range(0, _LENGTH, _GROUP))
