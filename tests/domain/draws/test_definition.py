"""Draws in documents: conditions on posts, and examples that enter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engage.domain.document.errors import DocumentError
from engage.domain.draws.conditions import failed_conditions
from engage.domain.draws.definition import Conditions, Post
from engage.domain.playback import examples
from engage.domain.program.parse import parse
from tests.support.draws import document

NAMES = st.lists(st.from_regex(r"[a-z][a-z0-9_]{0,9}", fullmatch=True), max_size=8)


def public(text: str) -> Post:
    return Post(text=text, visibility="public")


@given(NAMES, st.sampled_from([" ", ", ", "\n", " and (", "!"]))
def test_each_name_counts_once_in_any_case_and_among_any_signs(names: list[str], between: str) -> None:
    text = between.join(f"@{name.upper() if n % 2 else name}" for n, name in enumerate(names * 2))
    for wanted in (1, 5, len(set(names)) or 1):
        failed = failed_conditions(Conditions(mentions=wanted), public(text))
        assert failed == ([] if len(set(names)) >= wanted else ["mentions"])


@given(st.from_regex(r"\w{1,12}", fullmatch=True), st.from_regex(r"\w{1,12}", fullmatch=True))
def test_a_hashtag_is_a_whole_word(tag: str, other: str) -> None:
    conditions = Conditions(hashtag=f"#{tag}")
    assert failed_conditions(conditions, public(f"Look: #{tag}, #{other}")) == []
    assert failed_conditions(conditions, public(f"#{tag}{other}")) == ["hashtag"]
    assert failed_conditions(conditions, public(f"{other}#{tag}")) == ["hashtag"]


@pytest.mark.parametrize(
    ("written", "found"),
    [("#Straße", "#STRASSE"), ("#Ёлка", "#ёлка"), ("#cafe\N{COMBINING ACUTE ACCENT}", "#CAFÉ")],
)
def test_hashtags_are_compared_as_readers_do(written: str, found: str) -> None:
    assert failed_conditions(Conditions(hashtag=found), public(written)) == []


def test_without_conditions_no_post_is_needed() -> None:
    assert failed_conditions(None, None) == []


EXAMPLE = """
[[examples]]
title = "One enters"
country = "ES"

[[examples.steps]]
at = 2026-11-21T12:00:00
do = {{ activity = "enter_draw", draw_id = "{draw_id}" }}
{expected}

[[examples.steps]]
at = 2026-11-21T14:01:03
do = {{ activity = "wait" }}
balance = {{ pending = {points} }}
"""


def with_example(draw_id: str, expected: str, points: int) -> str:
    return document() + EXAMPLE.format(draw_id=draw_id, expected=expected, points=points)


def test_the_only_one_to_enter_wins_at_the_round() -> None:
    program = parse(with_example("plain", "balance = {}", 500), source="lottery.toml")
    assert examples.check(program) == []


def test_an_example_that_expects_otherwise_fails() -> None:
    program = parse(with_example("plain", "balance = {}", 0), source="lottery.toml")
    assert len(examples.check(program)) == 1


def test_an_example_can_expect_a_refusal() -> None:
    for draw_id, refused in (("rewardmi", "entry_rejected"), ("later", "not_found"), ("no", "not_found")):
        program = parse(with_example(draw_id, f'refused = "{refused}"', 0), source="lottery.toml")
        assert examples.check(program) == [], draw_id


def test_an_example_names_a_draw_of_the_document() -> None:
    with pytest.raises(DocumentError) as caught:
        parse(with_example("plane", "balance = {}", 500), source="lottery.toml")
    (problem,) = caught.value.problems
    assert str(problem) == (
        'examples[0].steps[0].do.draw_id: expected the id of a draw, got "plane" (did you mean plain?)'
    )
