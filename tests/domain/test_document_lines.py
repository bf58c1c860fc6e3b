"""Mistakes in TOML are found at the lines of their fields."""

import pytest

from engage.domain.document.lines import line_of

TEXT = """\
id = "spring"
title = { en = "Spring" }

[audience]
countries = ["ES"]

[[boosts]]
id = "a"  # The first.
multiply = 2

[[boosts]]
id = "b"
rules = [
    "purchase",
]

[[quizzes]]
id = "q"

[[quizzes.questions]]
id = "one"

[[quizzes.questions]]
id = "two"
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("id", 1),
        ("title.en", 2),
        ("audience.countries[0]", 5),
        ("audience.percent", 4),
        ("boosts[0].multiply", 9),
        ("boosts[1].rules[0]", 13),
        ("boosts[1].add", 11),
        ("quizzes[0].questions[1].id", 24),
        ("until", None),
        ("line 3, column 1", 3),
    ],
)
def test_a_field_has_a_line(path: str, line: int | None) -> None:
    assert line_of(TEXT, path) == line
