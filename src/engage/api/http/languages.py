"""What people read of a problem, in the language they asked for."""

import tomllib
from collections.abc import Mapping
from datetime import datetime
from functools import cache, lru_cache
from importlib import resources
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from babel import Locale
from babel.core import negotiate_locale
from babel.dates import format_date
from babel.lists import format_list
from msgspec import Struct

from engage.domain.refusals import Code

LANGUAGES = ("en", "fr", "es", "it", "nl", "de", "ru")
ACCEPTED_LENGTH = 256

# A sentence has no room for more. All of them stand beside it, as the fact that they are.
SEVERAL = 8


class Message(Struct, frozen=True, forbid_unknown_fields=True):
    """`detail` may name facts in braces."""

    title: str
    detail: str


class Catalog(Struct, frozen=True, forbid_unknown_fields=True):
    """The messages of a language, by code, and the names of reasons."""

    codes: dict[str, Message]
    reasons: dict[str, str]


@cache
def catalog(language: str) -> Catalog:
    text = resources.files("engage.api").joinpath("messages", f"{language}.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), Catalog)


@lru_cache(512)
def negotiate(accept_language: str) -> str:
    """The best of LANGUAGES for an Accept-Language header; English where none is wanted."""
    wanted = [tag for tag, _ in sorted(_ranges(accept_language[:ACCEPTED_LENGTH]), key=lambda one: -one[1])]
    found = negotiate_locale(wanted, LANGUAGES, sep="-")
    return found if found in LANGUAGES else "en"


def _ranges(header: str) -> list[tuple[str, float]]:
    """(tag, weight) in the order they stand; what cannot be read or is not wanted is left out."""
    ranges = []
    for part in header.split(","):
        tag, _, parameter = part.partition(";")
        name, _, value = parameter.strip().partition("=")
        try:
            weight = float(value) if name.strip() == "q" else 1.0
        except ValueError:
            continue
        if tag.strip() and 0 < weight <= 1:
            ranges.append((tag.strip(), weight))
    return ranges


def message(code: Code, facts: Mapping[str, Any], language: str) -> Message:
    """The message of a code, with its facts in the language's own forms; times in the zone that is a fact."""
    known = catalog(language)
    found = known.codes[code]
    shown = {name: _shown(value, known, language, facts.get("zone")) for name, value in facts.items()}
    return Message(found.title, found.detail.format_map(_Facts(shown)))


class _Facts(dict[str, str]):
    """A message that names a fact which is not there still has to be given."""

    def __missing__(self, name: str) -> str:
        return "…"


def _shown(value: Any, known: Catalog, language: str, zone: str | None) -> str:
    locale = Locale.parse("en_GB" if language == "en" else language)
    match value:
        case datetime():
            local = value.astimezone(ZoneInfo(zone or "UTC"))
            day, time = format_date(local, "long", locale=locale), f"{local:%H:%M}"
            return f"{day} {time}" if zone else f"{day} {time} UTC"
        case [*several]:
            said = [known.reasons.get(str(one), str(one)) for one in several[:SEVERAL]]
            return format_list(said + ["…"] * (len(several) > SEVERAL), locale=locale)
        case _:
            return str(value)
