"""TOML from outside is decoded, or malformed, in bounded time."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engage.decoding.malformed import Malformed
from engage.decoding.toml_text import KEY_PARTS, LONGEST_TEXT, MalformedToml, decode_toml
from engage.domain.document.errors import DocumentError
from engage.domain.program.parse import parse
from tests.support.processor import processor_seconds

BOUND_S = 2.0
FULL = LONGEST_TEXT - 100

HOSTILE = {
    "a dotted key": ("a." * (FULL // 2) + "a = 1", "more than 16 parts"),
    "a dotted key with blanks": ("a . " * (FULL // 4) + "a = 1", "more than 16 parts"),
    "a dotted key of quoted parts": ("\"a\".'b'." * (FULL // 8) + "a = 1", "more than 16 parts"),
    "a dotted table": ("[" + "a." * (FULL // 2) + "a]", "more than 16 parts"),
    "a dotted key in a table": ("x = { " + "a." * 1_000 + "a = 1 }", "more than 16 parts"),
    "an integer of 5,000 digits": ("a = " + "9" * 5_000, "out of range"),
    "an integer of 4,000 digits": ("a = " + "9" * 4_000, "beyond 64 bits"),
    "a hexadecimal integer": ("a = 0x" + "f" * FULL, "beyond 64 bits"),
    "open lists": ("a = " + "[" * FULL, "nested too deeply"),
    "deep lists": ("a = " + "[" * 200 + "]" * 200, "nested too deeply"),
    "deep tables": ("a = " + "{a = " * 200 + "1" + "}" * 200, "nested too deeply"),
    "many keys": ("".join(f"k{n} = 1\n" for n in range(FULL // 11)), "items"),
    "many items": ("a = [" + "1," * (FULL // 2) + "]", "items"),
    "many tables": ("[[a]]\n" * (FULL // 6), "items"),
    "a long key": ("a" * FULL + " = 1", "characters"),
    "quotation marks": ('"' * FULL, "line 1"),
    "an open string": ('a = "' + "x" * FULL, "unterminated"),
    "too long a text": ("#" * (LONGEST_TEXT + 1), "characters"),
    "half a pair": ('a = "\ud800"', "surrogate"),
    "no date": ("a = 2026-02-30", "invalid date"),
}


@pytest.mark.parametrize(("text", "found"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_toml_is_malformed_in_bounded_time(text: str, found: str) -> None:
    with processor_seconds(BOUND_S), pytest.raises(MalformedToml, match=found):
        decode_toml(text)


@pytest.mark.parametrize("text", [text for text, _ in HOSTILE.values()], ids=HOSTILE.keys())
def test_a_hostile_program_document_is_a_document_error(text: str) -> None:
    with pytest.raises(DocumentError):
        parse(text, source="hostile.toml")


@pytest.mark.parametrize(
    "within",
    [
        ".".join("a" * KEY_PARTS) + " = 1",
        'a = "' + "a." * 100 + '"',
        "a = '" + "a." * 100 + "'",
        'a = """' + "a." * 100 + '\n"" b."""',
        "a = '''" + "a." * 100 + "'' b.'''",
        "# " + "a." * 100,
        'a = "\\"" # "' + "a." * 100,
        "\ufeffa = 1",
    ],
)
def test_dots_in_strings_and_comments_are_no_parts_of_a_key(within: str) -> None:
    assert decode_toml(within) == tomllib.loads(within.removeprefix("\ufeff"))


@given(st.text(alphabet="ab.\"'\\#=[]{}, \n19-_xT:\u00e9\ud800"))
def test_any_text_is_decoded_or_malformed(text: str) -> None:
    try:
        assert decode_toml(text) == tomllib.loads(text)
    except Malformed:
        return
