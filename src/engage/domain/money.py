"""Money in whole minor units of a currency."""

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from math import floor

from babel.numbers import get_currency_precision
from msgspec import Struct

_HALF = Fraction(1, 2)


class Money(Struct, frozen=True):
    """`amount` is in minor units: 100 is one euro, or one hundred francs CFA, which have no cents."""

    amount: int
    currency: str


def minor_units(amount: Decimal, currency: str) -> int:
    """An amount of whole units, as people write it, in minor units; rounded to the nearest."""
    return int((amount * 10 ** get_currency_precision(currency)).to_integral_value())


def plain(money: Money) -> str:
    """A decimal number of whole units, without a currency sign: -12.34, 1500."""
    digits: int = get_currency_precision(money.currency)
    sign = "-" if money.amount < 0 else ""
    whole, rest = divmod(abs(money.amount), 10**digits)
    return f"{sign}{whole}.{rest:0{digits}d}" if digits else f"{sign}{whole}"


def apportion(parts: Iterable[Fraction]) -> list[int]:
    """Round amounts of minor units so that they add up to their rounded sum, halves upwards.

    If each were rounded by itself, a table's lines would not add up to its total.
    """
    shares = []
    exact, given = Fraction(0), 0
    for part in parts:
        exact += part
        share = floor(exact + _HALF) - given
        given += share
        shares.append(share)
    return shares
