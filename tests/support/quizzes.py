"""A quiz with every kind of question, as operators send it."""

import json
from typing import Any

import msgspec

from engage.domain.quizzes.definition import Quiz

# Stands in every explanation, so that a test can look for what tells an answer.
TELLING = "because-it-is-so"


def question(id_: str, kind: str, right: list[str], *, options: str = "abcd") -> dict[str, Any]:
    return {
        "id": id_,
        "kind": kind,
        "text": {"en": f"What of {id_}?", "fr": f"Quoi de {id_} ?"},
        "options": [{"id": option, "text": {"en": f"Option {option}"}} for option in options],
        "right": right,
        "explanation": {"en": f"{id_} {TELLING}", "de": f"{id_} {TELLING}, so ist es"},
    }


QUESTIONS = [
    question("one", "one", ["b"]),
    question("several", "several", ["a", "c"]),
    question("order", "order", ["d", "b", "a", "c"]),
]


def quiz_document(**changes: Any) -> dict[str, Any]:
    """Two attempts a day of two minutes, 2 points for each right answer and 4 for all three."""
    return {
        "id": "spring",
        "title": {"en": "Spring quiz", "fr": "Quiz du printemps"},
        "attempts": {"count": 2, "window": "day"},
        "time_limit": "PT2M",
        "points_per_right": 2,
        "points_full_score": 4,
        "questions": QUESTIONS,
    } | changes


def quiz(**changes: Any) -> Quiz:
    return msgspec.convert(quiz_document(**changes), Quiz)


def in_toml(value: object) -> str:
    """A document of the operators' API as a value of TOML."""
    match value:
        case dict():
            return "{ " + ", ".join(f"{name} = {in_toml(item)}" for name, item in value.items()) + " }"
        case list():
            return f"[{', '.join(map(in_toml, value))}]"
        case _:
            return json.dumps(value)


def quizzes_in_toml(*documents: dict[str, Any]) -> str:
    """The line of a program document, before its first table."""
    return f"quizzes = {in_toml(list(documents))}\n"
