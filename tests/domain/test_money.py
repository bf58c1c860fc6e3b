"""Money in whole minor units."""

from fractions import Fraction
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engage.domain.money import Money, apportion, plain


@given(st.lists(st.fractions(-1000, 1000, max_denominator=300), max_size=20))
def test_parts_add_up_to_the_rounded_sum(parts: list[Fraction]) -> None:
    shares = apportion(parts)
    assert sum(shares) == floor(sum(parts) + Fraction(1, 2))
    assert all(abs(share - part) <= 1 for share, part in zip(shares, parts, strict=True))


@pytest.mark.parametrize(
    ("amount", "currency", "said"),
    [
        (1234, "EUR", "12.34"),
        (5, "EUR", "0.05"),
        (-5, "GBP", "-0.05"),
        (1500, "XOF", "1500"),
        (-7, "XOF", "-7"),
        (0, "BYN", "0.00"),
        (1, "KWD", "0.001"),
    ],
)
def test_money_is_written_with_the_decimals_of_its_currency(amount: int, currency: str, said: str) -> None:
    assert plain(Money(amount, currency)) == said
