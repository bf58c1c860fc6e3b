"""Numbers, instants, shares and money as pages show them: with their units, instants with their zone."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal, format_percent
from msgspec import Struct

from engage.domain.money import Money
from engage.messages.catalogue import locale_of, month_name, show

_UTC: Final = "UTC"


class Shows(Struct, frozen=True):
    """Values as text in a language."""

    language: str

    def number(self, value: float) -> str:
        return format_decimal(value, locale=locale_of(self.language))

    def signed(self, value: int) -> str:
        """A difference, with its sign."""
        return f"+{self.number(value)}" if value > 0 else self.number(value).replace("-", "\N{MINUS SIGN}")

    def share(self, value: float) -> str:
        text = format_percent(value, "#,##0.0 %", locale=locale_of(self.language))
        return text.replace("-", "\N{MINUS SIGN}")

    def money(self, value: Money) -> str:
        return show(value, self.language)

    def day(self, value: date) -> str:
        return format_date(value, "medium", locale=locale_of(self.language))

    def month(self, value: date) -> str:
        return month_name(value, self.language)

    def instant(self, value: datetime, zone: str = _UTC) -> str:
        """Day and minute in a zone, which is named after them."""
        return f"{self.minute(value, zone)} {zone}"

    def minute(self, value: datetime, zone: str) -> str:
        """Day and minute in a zone that the page names once."""
        return self.local(value.astimezone(ZoneInfo(zone)))

    def country(self, code: str) -> str:
        """The name of a country in the language; its code where that has none."""
        names: Mapping[str, str] = Locale.parse(locale_of(self.language)).territories
        return names.get(code, code)

    def weekday(self, value: date) -> str:
        """The shortest name of a day of the week."""
        return format_date(value, "EEEEE", locale=locale_of(self.language))

    def local(self, value: datetime) -> str:
        """A local date-time as a document has it: the zone is said beside it."""
        return format_datetime(value.replace(tzinfo=None), "d MMM y, HH:mm", locale=locale_of(self.language))
