"""Read translations, and show values in a language.

A catalogue is compiled in memory when its language is first used. What a language lacks is shown in English.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from gettext import GNUTranslations
from importlib import resources
from io import BytesIO
from typing import Any, Final
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_skeleton
from babel.lists import format_list
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_currency, format_decimal

from engage.domain.money import Money, plain

LANGUAGES: Final = ("en", "fr", "es", "it", "nl", "de", "ru")
DEFAULT: Final = "en"

# A sentence lists no more items than this. A problem document has all of them in its facts.
ITEMS_SHOWN: Final = 8

# Unicode puts a space between a currency's letters and its digits, which Babel leaves out: "F CFA 7,500".
_LETTER_BEFORE_DIGIT: Final = re.compile(r"(?<=[^\W\d_])(?=\d)")


def read_catalog(language: str) -> Catalog:
    """Read the catalogues of a language: a feature may have a file of its own."""
    folder = resources.files("engage.messages").joinpath("locales", language, "LC_MESSAGES")
    whole = Catalog(locale=language)
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        for message in read_po(BytesIO(file.read_bytes()), locale=language, abort_invalid=True):
            if message.id:
                assert message.id not in whole, f"{file.name} has {message.id} again"
                whole[message.id] = message
    return whole


@cache
def _translations(language: str) -> GNUTranslations:
    compiled = BytesIO()
    write_mo(compiled, read_catalog(language))
    compiled.seek(0)
    translations = GNUTranslations(compiled)
    if language != DEFAULT:
        translations.add_fallback(_translations(DEFAULT))
    return translations


def translate(key: str, language: str, facts: Mapping[str, Any], *, counted: str | None = None) -> str:
    """Fill the text of a key with facts, in the plural form for the fact `counted`.

    Times are shown in the time zone of the fact `zone`, or in UTC. A fact that is missing is shown as "…".
    """
    translations = _translations(language)
    if counted is None:
        text = translations.gettext(key)
    else:
        count = facts.get(counted)
        text = translations.ngettext(key, key, count if isinstance(count, int) else 2)
    shown = {name: show(value, language, facts.get("zone")) for name, value in facts.items()}
    return text.format_map(_Shown(shown))


class _Shown(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return "…"


def known(key: str) -> bool:
    """Tell whether there is a text under a key."""
    return _translations(DEFAULT).gettext(key) != key


def month_name(first_day: date, language: str) -> str:
    """Write a month with its year."""
    return format_skeleton("yMMMM", first_day, locale=locale_of(language))


def show(value: Any, language: str, zone: str | None = None) -> str:
    """Show a fact in a language: an instant, money, a number, a list of reasons, or text."""
    match value:
        case datetime():
            local = value.astimezone(ZoneInfo(zone or "UTC"))
            day = format_date(local, "long", locale=locale_of(language))
            return f"{day} {local:%H:%M}" if zone else f"{day} {local:%H:%M} UTC"
        case date():
            return format_date(value, "long", locale=locale_of(language))
        case bool() | str() | None:
            return str(value)
        case Money(currency=currency):
            text = format_currency(Decimal(plain(value)), currency, locale=locale_of(language))
            return _LETTER_BEFORE_DIGIT.sub("\N{NO-BREAK SPACE}", text)
        case int() | Decimal():
            return format_decimal(value, locale=locale_of(language))
        case [*items]:
            return _list(items, language)
        case _:
            return str(value)


def _list(items: Iterable[Any], language: str) -> str:
    reasons = [_reason(str(item), language) for item in items]
    shown = reasons[:ITEMS_SHOWN] + ["…"] * (len(reasons) > ITEMS_SHOWN)
    return format_list(shown, locale=locale_of(language))


def _reason(item: str, language: str) -> str:
    key = f"reason.{item}"
    text = _translations(language).gettext(key)
    return item if text == key else text


@cache
def locale_of(language: str) -> Locale:
    return Locale.parse("en_GB" if language == "en" else language)
