"""References of persons, in one form: a person is known again however the shop writes the reference."""

import unicodedata
from typing import Final

# Blanks, line ends, control characters, and format characters such as direction marks and zero-width blanks.
_LEFT_OUT: Final = frozenset({"Zs", "Zl", "Zp", "Cc", "Cf"})


def one_form(person_ref: str) -> str:
    """Return a reference in NFKC, casefolded, without blanks; empty if nothing else was in it.

    The result is its own form.
    """
    while (form := _step(person_ref)) != person_ref:
        person_ref = form
    return form


def _step(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c for c in folded if unicodedata.category(c) not in _LEFT_OUT)
