"""Texts for members, by locale, as documents have them."""

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta

from engage.domain.document.fields import Title

FALLBACK = "en"

Locale = Annotated[
    str,
    Meta(
        pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*(?!\n)$",
        max_length=16,
        description="a locale, such as en or fr-BE",
    ),
]
Texts = Annotated[dict[Locale, Title], Meta(min_length=1, max_length=20)]

# A text beside it in further languages.
Translations = Annotated[dict[Locale, Title], Meta(max_length=20)]

# Texts that may be long, such as the explanation of an answer: several lines, of limited length.
LongTexts = Annotated[
    dict[Locale, Annotated[str, Meta(min_length=1, max_length=2_000)]], Meta(min_length=1, max_length=20)
]


def text_in(texts: Mapping[str, str], language: str) -> str:
    """The text in a language: that of the locale, of its language, in English, or else the first one."""
    for locale in (language, language.partition("-")[0], FALLBACK):
        if locale in texts:
            return texts[locale]
    return next(iter(texts.values()))
