"""The words of a language: texts of the catalogue, numbers, amounts, durations, dates, lists."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from babel.dates import format_date
from babel.lists import format_list
from babel.numbers import format_decimal
from babel.units import format_unit
from msgspec import Struct

from engage.domain.document import iso_codes
from engage.domain.document.order_scope import OrderScope
from engage.domain.document.texts import text_in
from engage.domain.program.program import Program
from engage.messages.catalogue import locale_of, translate

_UNITS = (("day", 86_400, 2), ("hour", 3_600, 1), ("minute", 60, 1), ("second", 1, 0))


class Wording(Struct, frozen=True):
    """A language, and the program whose amounts are shown."""

    program: Program
    language: str

    def text(self, key: str, /, *, counted: str | None = None, **facts: Any) -> str:
        return translate(f"console.words.{key}", self.language, facts, counted=counted)

    def headers(self, *names: str) -> tuple[str, ...]:
        return tuple(self.text(f"header.{name}") for name in names)

    def title(self, texts: dict[str, str]) -> str:
        return text_in(texts, self.language)

    def number(self, number: int | Decimal) -> str:
        return format_decimal(number, locale=locale_of(self.language))

    def points(self, points: int) -> str:
        return self.text("points", counted="n", n=points)

    def per(self, number: int, window: str | None) -> str:
        """A number in each window, or ever: 3 a month."""
        return self.text(f"per.{window or 'ever'}", n=number)

    def money(self, minor: int) -> str:
        """An amount in each currency of the program: 5.00 EUR/GBP, or 1,000 XOF."""
        by_decimals: dict[int, list[str]] = {}
        for currency in dict.fromkeys(market.currency for market in self.program.countries.values()):
            by_decimals.setdefault(iso_codes.decimals(currency), []).append(currency)
        return self.one_of([self._amount(minor, *each) for each in by_decimals.items()])

    def _amount(self, minor: int, decimals: int, currencies: Sequence[str]) -> str:
        pattern = "#,##0" + (f".{'0' * decimals}" if decimals else "")
        amount = Decimal(minor).scaleb(-decimals)
        shown = format_decimal(amount, format=pattern, locale=locale_of(self.language))
        return f"{shown} {'/'.join(currencies)}"

    def duration(self, length: timedelta) -> str:
        """The largest unit that gives a whole number: 5 minutes, 24 hours, but 2 days."""
        seconds = int(length.total_seconds())
        unit, size = next(
            (unit, size) for unit, size, least in _UNITS if seconds % size == 0 and seconds >= size * least
        )
        return format_unit(seconds // size, f"duration-{unit}", locale=locale_of(self.language))

    def day(self, day: date) -> str:
        return format_date(day, "long", locale=locale_of(self.language))

    def local(self, at: datetime) -> str:
        """A local time, or one with its zone."""
        zone = f" {at:%Z}" if at.tzinfo else ""
        return f"{self.day(at)} {at:%H:%M}{zone}"

    def one_of(self, words: Sequence[str]) -> str:
        """`a`, `a or b`, `a, b or c`. Underscores become spaces."""
        shown = [word.replace("_", " ") for word in words]
        return format_list(shown, style="or", locale=locale_of(self.language))

    def order_scope(self, orders: OrderScope) -> Iterator[str]:
        """The conditions of an order. There are none if all orders are in the scope."""
        if orders.channels is not None:
            yield self.text("scope.channels", channels=self.one_of(orders.channels))
        if orders.refused_methods:
            yield self.text("scope.methods", methods=self.one_of(orders.refused_methods))
        if orders.online_at_pickup:
            yield self.text("scope.pickup")
        if not orders.promotion_lines:
            yield self.text("scope.promotion")
