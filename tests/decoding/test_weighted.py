"""Weighted headers: no text of a client is an error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engage.decoding.weighted import decode_weighted


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ("de, fr;q=0.5, it;q=0.8", ["de", "it", "fr"]),
        ("gzip;q=0, br", ["br"]),
        ("DE ; q = 1.000", ["de"]),
        ("de;level=1;q=0.2, fr;q=0.3", ["fr", "de"]),
        ("de;q=inf, fr;q=nan, it;q=-1, nl;q=1e3, es;q=2, ru;q=0.1234, en;q=٣", []),
        (",;,;q=1,", []),
        ("", []),
    ],
)
def test_names_come_in_the_order_of_their_weights(header: str, names: list[str]) -> None:
    assert [name for name, _ in decode_weighted(header)] == names


@given(st.text(alphabet="ade-*;,=q 0123.infa\x00\xff") | st.text())
def test_any_header_is_read(header: str) -> None:
    assert all(name and 0 < weight <= 1 for name, weight in decode_weighted(header))
