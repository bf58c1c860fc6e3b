"""A file of one column is read as its bytes come, wherever they are cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engage.decoding.csv_text import LONGEST_LINE, START_BYTES, Field, InvalidFile, OneColumn, check_start

BOM = b"\xef\xbb\xbf"


def read(*chunks: bytes) -> list[Field]:
    column = OneColumn(b"member_id")
    fields = [field for chunk in chunks for field in column.feed(chunk)]
    return fields + column.close()


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        (b"a\nb\n", [(1, b"a"), (2, b"b")]),
        (b"a\nb", [(1, b"a"), (2, b"b")]),
        (b"a\r\nb\r\n", [(1, b"a"), (2, b"b")]),
        (b"a\rb\r", [(1, b"a"), (2, b"b")]),
        (b"member_id\na\n", [(2, b"a")]),
        (BOM + b'\r\n "Member_ID" \r\na\r\n', [(3, b"a")]),
        (b"a\nmember_id\n", [(1, b"a"), (2, b"member_id")]),
        (b"member_id\nmember_id\n", [(2, b"member_id")]),
        (b'\n\n  \n"a"\n""\n" b "\t\n', [(4, b"a"), (6, b" b ".strip())]),
        (b'"\n"a\na"\n"a""b"\n', [(1, b'"'), (2, b'"a'), (3, b'a"'), (4, b'a""b')]),
        (b"a,b\na;b\n", [(1, b"a,b"), (2, b"a;b")]),
        (b"a\x0bb\na\x1cb\n\xe9\n", [(1, b"a\x0bb"), (2, b"a\x1cb"), (3, b"\xe9")]),
        (b"\n", []),
        (b"member_id", []),
    ],
)
def test_a_field_has_the_number_of_its_line(text: bytes, fields: list[Field]) -> None:
    assert read(text) == fields


@given(
    st.lists(st.sampled_from([b"m-1", b'"', b"\r", b"\n", b"\r\n", b" ", b"member_id", BOM, b",", b"\xff"])),
    st.lists(st.integers(min_value=0, max_value=60)),
    st.booleans(),
)
def test_it_does_not_matter_where_chunks_end(parts: list[bytes], cuts: list[int], is_long: bool) -> None:
    text = b"".join(parts) + b"x"
    if is_long:
        text = b"y\n" * START_BYTES + text
    places = sorted({min(cut * len(text) // 60, len(text)) for cut in cuts} | {0, len(text)})
    chunks = [text[start:end] for start, end in pairwise(places)]
    assert read(*chunks) == read(text)


def test_a_line_that_does_not_end_takes_no_memory() -> None:
    column = OneColumn(b"member_id")
    assert column.feed(b"a\n" + b"x" * START_BYTES) == [(1, b"a")]
    for _ in range(100):
        assert column.feed(b"x" * 100_000) == []
    assert len(column._rest) == LONGEST_LINE
    ((line, field),) = column.feed(b"\nb")
    assert (line, len(field)) == (2, LONGEST_LINE)
    assert column.close() == [(3, b"b")]


@pytest.mark.parametrize("start", [b"PK\x03\x04", b"\xd0\xcf\x11\xe0", "m-1\n".encode("utf-16"), b"a\0\n"])
def test_a_file_that_is_no_text_is_refused(start: bytes) -> None:
    with pytest.raises(InvalidFile):
        check_start(start)
    with pytest.raises(InvalidFile):
        read(start[:2], start[2:])
    with pytest.raises(InvalidFile):
        read(start + b"\n" * START_BYTES)


def test_a_file_of_no_bytes_is_refused_with_what_a_file_without_rows_has() -> None:
    with pytest.raises(InvalidFile, match="member_id"):
        read()
    with pytest.raises(InvalidFile, match="member_id"):
        read(b"", b"")
