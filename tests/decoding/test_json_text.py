"""JSON from outside is decoded, or malformed, in bounded time."""

import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from engage.decoding.json_text import DEPTH, decode_json
from engage.decoding.malformed import Malformed

BOUND_S = 0.5


class Named(Struct, frozen=True):
    """A struct that ignores fields which it does not know, as a token's header is."""

    name: str


anything = msgspec.json.Decoder(Any)
named = msgspec.json.Decoder(Named)
raw = msgspec.json.Decoder(list[msgspec.Raw])


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
    begun = time.perf_counter()
    with pytest.raises(Malformed):
        decode_json(hostile, decoder)
    assert time.perf_counter() - begun < BOUND_S


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
