"""Weighted lists of headers, such as Accept-Language: `fr;q=0.8, en`."""

import re
from collections.abc import Sequence
from typing import Final

LONGEST_HEADER: Final = 256  # Characters that are read. No browser sends as many.

# RFC 9110, 12.4.2: no infinity, no NaN, no exponent, at most three digits.
_WEIGHT = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")


def decode_weighted(header: str) -> list[tuple[str, float]]:
    """Return (name in lower case, weight), the heaviest first, equal ones in the order of the header.

    Names without a valid weight, and those of weight 0, are left out.
    """
    found = []
    for part in header[:LONGEST_HEADER].split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = _weight(parameters)
        if name and weight > 0:
            found.append((name, weight))
    return sorted(found, key=lambda accepted: -accepted[1])


def preferred(header: str, names: Sequence[str]) -> str:
    """Return the name that the header gives the most weight; the first one if it names none of them."""
    return next((name for name, _ in decode_weighted(header) if name in names), names[0])


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            value = value.strip()
            return float(value) if _WEIGHT.fullmatch(value) else 0.0
    return 1.0
