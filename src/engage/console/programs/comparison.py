"""Two versions of a program compared: in words, and field by field."""

import json
from typing import Any, Final

import msgspec
from msgspec import Struct

from engage.domain.document.difference import Difference, by_ids, differences
from engage.domain.program.program import Program
from engage.messages.program_text.sections import lines

_FIELDS_SHOWN: Final = 200
_LONGEST_VALUE: Final = 300

# Examples say nothing to members.
_LEFT_OUT: Final = ("examples",)


class Comparison(Struct, frozen=True):
    """Sentences of one version only, and the fields that differ, with nothing for one that is not there."""

    only_before: list[str]
    only_after: list[str]
    fields: list[Difference]

    @property
    def is_same(self) -> bool:
        return not self.fields


def compare(before: Program, after: Program, language: str) -> Comparison:
    """Compare two versions in the words of a language, rules and definitions with those of the same id."""
    words_before, words_after = lines(before, language), lines(after, language)
    fields = differences(by_ids(_document(before)), by_ids(_document(after)))
    return Comparison(
        [line for line in words_before if line not in words_after],
        [line for line in words_after if line not in words_before],
        [Difference(each.field, _text(each.yours), _text(each.theirs)) for each in fields[:_FIELDS_SHOWN]],
    )


def _document(program: Program) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(program)
    return {name: value for name, value in document.items() if name not in _LEFT_OUT}


def _text(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
