"""The language of an answer."""

from functools import lru_cache

from babel.core import negotiate_locale

from engage.decoding.weighted import decode_weighted
from engage.messages.catalogue import DEFAULT, LANGUAGES


@lru_cache(512)
def negotiate(accept_language: str) -> str:
    """Return the best of LANGUAGES for an Accept-Language header, English by default."""
    tags = [tag for tag, _ in decode_weighted(accept_language)]
    language = negotiate_locale(tags, LANGUAGES, sep="-")
    return language if language in LANGUAGES else DEFAULT
