"""Rules of passwords: long, and not what anybody would try first (NIST SP 800-63B, section 5.1.1.2)."""

from enum import StrEnum
from typing import Final

SHORTEST: Final = 12
LONGEST: Final = 128

# A long password may still be one of these, repeated.
_FEW_CHARACTERS: Final = 5


class Weakness(StrEnum):
    """A reason to refuse a password. The value is the key of its text."""

    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    TOO_SIMPLE = "too_simple"
    HAS_EMAIL = "has_email"
    UNCHANGED = "unchanged"


def weakness_of(password: str, email: str, *, present: str = "") -> Weakness | None:
    """Return why a password is refused; None for one that will do. `present` is the one that it replaces."""
    lowered = password.lower()
    if len(password) < SHORTEST:
        return Weakness.TOO_SHORT
    if len(password) > LONGEST:
        return Weakness.TOO_LONG
    if len(set(lowered)) < _FEW_CHARACTERS:
        return Weakness.TOO_SIMPLE
    name, _, _ = email.lower().partition("@")
    if len(name) >= _FEW_CHARACTERS and name in lowered:
        return Weakness.HAS_EMAIL
    return Weakness.UNCHANGED if password == present else None
