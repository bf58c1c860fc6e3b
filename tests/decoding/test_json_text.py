"""JSON from outside is decoded, or malformed, in bounded time."""

import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from engage.decoding.json_text import DEPTH, decode_json, split_json
from engage.decoding.malformed import Malformed
from tests.support.processor import processor_seconds

BOUND_S = 0.5


class Named(Struct, frozen=True):
    """A struct that ignores fields which it does not know, as a token's header is."""

    name: str


anything = msgspec.json.Decoder(Any)
named = msgspec.json.Decoder(Named)
raw = msgspec.json.Decoder(list[msgspec.Raw])

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize("decoder", [anything, named, raw])
@pytest.mark.parametrize(
    "hostile",
    [
        b'{"name": "a", "x": ' + b"[" * 2_900 + b"]" * 2_900 + b"}",
        b'{"name": "a", "x": ' + b"[" * 500 + b"]" * 500 + b"}",
        b"[" * 200_000,
        b'[{"a": ' * 50_000,
        b'{"name": "' + b"\\" * 100_001,
        b'"' * 100_001,
        b'{"name": ' + b"9" * 100_000 + b"}",
        b'{"name": 1e999999}',
        b'{"name": "\xff"}',
        b'{"name": "\\ud83d"}',
        b"\x00" * 1_000,
        b"",
    ],
    ids=lambda text: f"{text[:12]!r} {len(text)}" if isinstance(text, bytes) else "",
)
def test_hostile_json_is_malformed_in_bounded_time(
    decoder: msgspec.json.Decoder[Any], hostile: bytes
) -> None:
    with processor_seconds(BOUND_S), pytest.raises(Malformed):
        decode_json(hostile, decoder)


def test_the_depth_and_the_length_of_a_text_are_limited() -> None:
    deep = b"[" * DEPTH + b"]" * DEPTH
    assert decode_json(deep, anything)
    with pytest.raises(Malformed, match="nested too deeply"):
        decode_json(b"[" + deep + b"]", anything)
    assert decode_json(deep, anything, limit_bytes=2 * DEPTH)
    with pytest.raises(Malformed, match="longer than 63 bytes"):
        decode_json(deep, anything, limit_bytes=2 * DEPTH - 1)


def test_brackets_in_strings_and_side_by_side_are_no_depth() -> None:
    text = msgspec.json.encode({"name": "[{" * 1_000 + '"\\[', "list": [[]] * 1_000})
    assert decode_json(text, named).name.startswith("[{")


def test_a_mistake_is_told_with_its_place() -> None:
    with pytest.raises(Malformed, match=r"Expected `str`, got `int` - at `\$.name`"):
        decode_json(b'{"name": 1}', named)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (rb'"\ud83d"', "half of a character"),
        (rb'{"a": "\ud83d"}', "half of a character"),
        (rb'["\ud83d\n"]', "half of a character"),
        (rb'{"a": "\ud83d", "b": 12345678}', r"half of a character \(byte 13\)"),
        (rb'"\ude00 and more"', r"half of a character \(byte 7\)"),
        (rb'"\ud83d\u0041 and more"', r"half of a character \(byte 13\)"),
        (b"", "it ends too early"),
        (b'{"a": 1', "it ends too early"),
        (b'"\xf0\x9f', "it ends too early"),
    ],
)
def test_a_mistake_is_told_in_plain_words(text: bytes, words: str) -> None:
    with pytest.raises(Malformed, match=f"^JSON is malformed: {words}$"):
        decode_json(text, anything)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=30,
)


@given(json_values)
def test_every_sound_text_is_decoded(value: object) -> None:
    assert decode_json(msgspec.json.encode(value), anything) == value


@given(st.binary() | st.text(alphabet='[]{}",:\\u0d8e19-. ').map(str.encode))
def test_any_bytes_are_decoded_or_malformed(text: bytes) -> None:
    try:
        decode_json(text, anything)
    except Malformed:
        return
    msgspec.json.decode(text)


@given(st.lists(json_values), st.integers(0, 3))
def test_a_list_is_split_into_its_items(values: list[Any], indent: int) -> None:
    text = json.dumps(values, indent=indent or None).encode()
    assert [json.loads(item) for item in split_json(text, most=len(values))] == values


@given(st.dictionaries(st.text(), json_values))
def test_an_object_is_split_into_its_members(value: dict[str, Any]) -> None:
    members = split_json(json.dumps(value).encode(), most=len(value))
    assert json.loads(b"{" + b",".join(members) + b"}") == value


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"7",
        b'"[]"',
        b"[",
        b"]",
        b"[1",
        b"[1}",
        b"{1]",
        b"[1]]",
        b"[1]2",
        b"[1,]",
        b"[,1]",
        b"[1,,2]",
        b'["]',
    ],
)
def test_a_list_without_an_end_or_an_item_is_malformed(text: bytes) -> None:
    with pytest.raises(Malformed):
        split_json(text, most=9)


def test_of_too_many_items_no_more_than_one_is_split() -> None:
    assert split_json(b"[1,2,3]", most=3) == [b"1", b"2", b"3"]
    assert len(split_json(b"[" + b"1," * 100_000, most=3)) == 4


@pytest.mark.parametrize("part", [b"[", b'["', b'"\\\\",', b"[{", b"[],", b"[[]],", b"]", b'[""],'])
def test_a_hostile_list_is_split_in_bounded_time(part: bytes) -> None:
    with processor_seconds(BOUND_S), suppress(Malformed):
        split_json(b"[" + part * (400_000 // len(part)), most=1_000)
