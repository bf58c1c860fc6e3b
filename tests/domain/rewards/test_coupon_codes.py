"""Codes of coupons and F-codes, and the ways in which people type them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engage.domain.rewards.coupon_codes import CODE_BITS, code_of, read_code


@given(st.integers(0, (1 << CODE_BITS) - 1))
def test_every_number_has_a_readable_code(number: int) -> None:
    code = code_of(number)
    assert [len(group) for group in code.split("-")] == [5, 5, 5, 5]
    assert read_code(code) == code
    assert read_code(code.lower().replace("-", " ")) == code
    assert read_code(code.replace("0", "o").replace("1", "l")) == code


@given(st.sets(st.integers(0, (1 << CODE_BITS) - 1), min_size=2))
def test_no_two_numbers_share_a_code(numbers: set[int]) -> None:
    assert len({code_of(number) for number in numbers}) == len(numbers)


@pytest.mark.parametrize("typed", ["", "12345", "U" * 20, "0" * 21, "é" * 20, "ß" * 10])
def test_other_texts_are_not_codes(typed: str) -> None:
    assert read_code(typed) is None
