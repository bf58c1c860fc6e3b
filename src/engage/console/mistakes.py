"""Mistakes in a document that was typed, each at its line."""

from collections.abc import Iterable

from msgspec import Struct

from engage.domain.document.errors import Problem
from engage.domain.document.lines import line_of
from engage.domain.refusals import Refusal
from engage.messages.refusals import refusal_message


class Mistake(Struct, frozen=True):
    """A mistake at a field of a document, or in all of it, and the line where the field stands."""

    field: str
    message: str
    line: int | None


class Refused(Exception):
    """A document that is not valid, with all that is wrong about it."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__("; ".join(mistake.message for mistake in mistakes))
        self.mistakes = mistakes


def mistakes_of(text: str, problems: Iterable[Problem]) -> list[Mistake]:
    return [Mistake(each.path, each.mistake, line_of(text, each.path)) for each in problems]


def mistakes_of_refusal(text: str, refusal: Refusal, language: str) -> list[Mistake]:
    """The problems that a refusal lists, which begin with the path of a field; else what it says."""
    problems = refusal.facts.get("problems")
    if problems is None:
        return [Mistake("", refusal_message(refusal.code, refusal.facts, language).detail, None)]
    split = [problem.partition(": ") for problem in problems]
    return [Mistake(path, message, line_of(text, path)) for path, _, message in split]
