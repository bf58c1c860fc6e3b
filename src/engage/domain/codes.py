"""Codes that people read out and type, in Crockford's Base32 alphabet.

It has no I, L, O and U, so that people do not confuse characters.
"""

from typing import Final

BITS_PER_CHARACTER: Final = 5

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CORRECTIONS: Final = str.maketrans({"O": "0", "I": "1", "L": "1", "-": "", " ": ""})


def encode(number: int, length: int) -> str:
    """Write a number of `length` times five bits."""
    assert 0 <= number < 1 << BITS_PER_CHARACTER * length
    return "".join(_ALPHABET[number >> BITS_PER_CHARACTER * n & 31] for n in reversed(range(length)))


def read(typed: str, lengths: range) -> str | None:
    """Normalize a typed code of one of these lengths; None for a text that cannot be one. Case, blanks and
    hyphens do not matter.
    """
    characters = typed.upper().translate(_CORRECTIONS)
    if not typed.isascii() or len(characters) not in lengths or not set(characters) <= set(_ALPHABET):
        return None
    return characters
