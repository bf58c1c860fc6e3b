"""Codes that people type are read as they were written out, whatever the case and the blanks."""

from hypothesis import given
from hypothesis import strategies as st

from engage.domain import codes


@given(st.integers(0, (1 << 40) - 1))
def test_a_code_is_read_however_it_is_typed(number: int) -> None:
    code = codes.encode(number, 8)
    assert len(code) == 8
    assert set("ILOU").isdisjoint(code)
    for typed in (code, code.lower(), f" {code[:4]}-{code[4:]} ", code.replace("0", "o").replace("1", "l")):
        assert codes.read(typed, range(6, 21)) == code


def test_a_text_that_cannot_be_a_code_is_none() -> None:
    for typed in (
        "",
        "ABCDE",
        "ABCDEFGHJKMNPQRSTVWXY",
        "ABCDEFGU",
        "ABCDEFG!",
        "ABCDEFGé",
        "１２３４５６７８",
    ):
        assert codes.read(typed, range(6, 21)) is None
