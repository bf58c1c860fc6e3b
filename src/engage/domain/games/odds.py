"""Odds of prizes as shares of one range of whole numbers."""

from collections.abc import Sequence
from fractions import Fraction
from math import lcm

from engage.domain.games.definition import Prize

# A range is sampled without bias from 256 bits; this bound keeps it one machine word everywhere.
LARGEST_RANGE = 1 << 63


def odds_of(prize: Prize) -> Fraction:
    numerator, _, denominator = prize.odds.partition("/")
    return Fraction(int(numerator), int(denominator))


def range_of(prizes: Sequence[Prize]) -> int:
    """Return the least common denominator of all odds: the size of the range that a play is drawn from."""
    return lcm(*(odds_of(prize).denominator for prize in prizes))


def prize_at(prizes: Sequence[Prize], number: int) -> Prize | None:
    """Return the prize whose share of the range contains a number from 0, or None.

    The shares stand one after the other in the order of the document, from 0.
    """
    size = range_of(prizes)
    for prize in prizes:
        number -= int(odds_of(prize) * size)
        if number < 0:
            return prize
    return None
