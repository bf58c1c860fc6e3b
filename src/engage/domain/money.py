"""Money: whole minor units of a currency, and fractions of them only on the way there."""

from collections.abc import Iterable
from fractions import Fraction
from math import floor

from babel.numbers import get_currency_precision
from msgspec import Struct

_HALF = Fraction(1, 2)


class Money(Struct, frozen=True):
    """`amount` is in minor units: 100 is one euro, and one hundred francs CFA, which have none."""

    amount: int
    currency: str


def plain(money: Money) -> str:
    """In whole units of the currency, with its own number of decimals and no other sign: -12.34, 1500."""
    digits: int = get_currency_precision(money.currency)
    sign = "-" if money.amount < 0 else ""
    whole, rest = divmod(abs(money.amount), 10**digits)
    return f"{sign}{whole}.{rest:0{digits}d}" if digits else f"{sign}{whole}"


def apportion(parts: Iterable[Fraction]) -> list[int]:
    """Whole minor units for each part, such that they add up to the rounded sum, halves upwards.

    Each rounded by itself would leave a table whose lines do not come to its total.
    """
    shares = []
    exact, given = Fraction(0), 0
    for part in parts:
        exact += part
        share = floor(exact + _HALF) - given
        given += share
        shares.append(share)
    return shares
