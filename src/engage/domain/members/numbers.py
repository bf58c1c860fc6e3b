"""Numbers as people write them, in one form: the phone and card numbers of events, registrations, imports and
withdrawals all pass through `compact`.
"""

import re
import unicodedata
from typing import Final

# Signs that group digits, beside blanks and dashes of every kind. Normalization makes a fraction slash of
# some characters; the last two are how phones show a digit as a key.
_GROUPING: Final = frozenset("./\\()[]_·•‧∙⁄∕−\ufe0f\u20e3")

# Blanks, line ends, dashes, control characters, and format characters: direction marks, zero-width blanks,
# soft hyphens, byte order marks.
_LEFT_OUT: Final = frozenset({"Zs", "Zl", "Zp", "Pd", "Cc", "Cf"})

_COMPACT: Final = re.compile(r"[0-9A-Z+]+")


def compact(number: str) -> str | None:
    """Return the digits, letters and plus signs of a number; None for a text with anything else, or nothing.

    Digits of any script become ASCII, letters capitals. The result is its own compact form.
    """
    kept = "".join(map(_compact, unicodedata.normalize("NFKC", number)))
    return kept if _COMPACT.fullmatch(kept) else None


def _compact(character: str) -> str:
    if character in _GROUPING or unicodedata.category(character) in _LEFT_OUT:
        return ""
    digit = unicodedata.decimal(character, None)
    return character.upper() if digit is None else str(digit)
