"""Display names: what members choose to be called on leaderboards."""

import unicodedata
from typing import Final

LONGEST_NAME: Final = 30

# What others without a name are shown as. Nobody can choose it.
NOBODY: Final = "—"

# Letters, marks, numbers, punctuation and symbols, and the plain space: neither controls nor what turns the
# direction of the text or is not seen.
_SHOWN: Final = frozenset("LMNPS")


def read_name(text: str) -> str | None:
    """Return the one form of a name; None for a text that cannot be one."""
    if len(text) > 4 * LONGEST_NAME:
        return None
    name = " ".join(unicodedata.normalize("NFC", text).split(" ")).strip()
    if not 0 < len(name) <= LONGEST_NAME or name == NOBODY:
        return None
    if not all(character == " " or unicodedata.category(character)[0] in _SHOWN for character in name):
        return None
    # Marks are stacked on the letter before them: a few are a language, many are a mess.
    marks = sum(unicodedata.category(character)[0] == "M" for character in name)
    return name if any(character.isalnum() for character in name) and marks <= len(name) // 2 else None
