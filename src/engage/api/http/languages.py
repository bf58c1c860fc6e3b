"""The language of an answer."""

from functools import lru_cache
from typing import Final

from babel.core import negotiate_locale

from engage.messages.catalogue import DEFAULT, LANGUAGES

ACCEPTED_LENGTH: Final = 256


@lru_cache(512)
def negotiate(accept_language: str) -> str:
    """Return the best of LANGUAGES for an Accept-Language header, English by default."""
    ranges = sorted(_ranges(accept_language[:ACCEPTED_LENGTH]), key=lambda accepted: -accepted[1])
    language = negotiate_locale([tag for tag, _ in ranges], LANGUAGES, sep="-")
    return language if language in LANGUAGES else DEFAULT


def _ranges(header: str) -> list[tuple[str, float]]:
    """Parse (tag in lower case, weight) in the order of the header. Invalid ranges and those of weight 0 are
    left out.
    """
    ranges = []
    for part in header.split(","):
        tag, _, parameter = part.partition(";")
        name, _, value = parameter.strip().partition("=")
        try:
            weight = float(value) if name.strip() == "q" else 1.0
        except ValueError:
            continue
        if tag.strip() and 0 < weight <= 1:
            ranges.append((tag.strip().lower(), weight))
    return ranges
