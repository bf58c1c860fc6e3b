"""Money: whole minor units of a currency, and fractions of them only on the way there."""

from collections.abc import Iterable
from fractions import Fraction
from math import floor

from msgspec import Struct

_HALF = Fraction(1, 2)


class Money(Struct, frozen=True):
    """`amount` is in minor units: 100 is one euro, and one hundred francs CFA, which have none."""

    amount: int
    currency: str


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
