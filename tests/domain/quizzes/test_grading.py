"""Answers are graded as a whole: right or wrong, and points only from the pass mark on."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engage.domain.quizzes.grading import Answers, check_answers, grade, normalized
from engage.domain.refusals import Refusal
from tests.support.generated_cases import cases
from tests.support.quizzes import quiz

RIGHT: dict[str, list[str]] = {"one": ["b"], "several": ["a", "c"], "order": ["d", "b", "a", "c"]}


@pytest.mark.parametrize(
    ("answers", "right"),
    [
        (RIGHT, {"one", "several", "order"}),
        (RIGHT | {"several": ["c", "a"]}, {"one", "several", "order"}),
        (RIGHT | {"several": ["a"]}, {"one", "order"}),
        (RIGHT | {"several": ["a", "b", "c"]}, {"one", "order"}),
        (RIGHT | {"several": ["a", "c", "c"]}, {"one", "order"}),
        (RIGHT | {"one": ["a", "b"]}, {"several", "order"}),
        (RIGHT | {"order": ["a", "b", "c", "d"]}, {"one", "several"}),
        (RIGHT | {"order": ["d", "b", "a"]}, {"one", "several"}),
        ({"one": ["b"], "several": []}, {"one"}),
        ({}, set()),
    ],
)
def test_only_a_whole_answer_is_right(answers: Answers, right: set[str]) -> None:
    asked = quiz()
    graded = grade(asked, asked.questions, answers)
    assert (graded.right, graded.correct, graded.total) == (frozenset(right), len(right), 3)
    assert graded.points == 2 * len(right) + (4 if len(right) == 3 else 0)


@given(
    answers=st.fixed_dictionaries(
        {}, optional={id_: st.lists(st.sampled_from("abcd"), max_size=5) for id_ in RIGHT}
    ),
    pass_mark=st.one_of(st.none(), st.integers(0, 3)),
    each=st.one_of(st.none(), st.integers(1, 9)),
    full=st.one_of(st.none(), st.integers(1, 9)),
)
@settings(max_examples=cases(150))
def test_points_follow_from_the_right_answers_and_the_pass_mark(
    answers: Answers, pass_mark: int | None, each: int | None, full: int | None
) -> None:
    asked = quiz(pass_mark=pass_mark, points_per_right=each, points_full_score=full)
    graded = grade(asked, asked.questions, answers)
    assert graded.passed == (graded.correct >= (pass_mark or 0))
    expected = graded.correct * (each or 0) + ((full or 0) if graded.correct == 3 else 0)
    assert graded.points == (expected if graded.passed else 0)
    assert 0 <= graded.points <= asked.points_max


def test_the_same_answers_are_equal_in_any_notation() -> None:
    questions = quiz().questions
    same = {"several": ["c", "a"], "one": ["b"], "order": RIGHT["order"]}
    assert normalized(questions, same) == normalized(questions, RIGHT)
    assert normalized(questions, {"one": ["b"], "several": []}) == normalized(questions, {"one": ["b"]})
    other = RIGHT | {"order": ["b", "d", "a", "c"]}
    assert normalized(questions, other) != normalized(questions, RIGHT)


def test_answers_to_other_questions_and_of_other_options_are_named() -> None:
    with pytest.raises(Refusal) as found:
        check_answers(quiz().questions[:1], {"one": ["b", "e"], "several": ["a"], "a.b": []})
    assert found.value.code == "invalid_request"
    fields = [error["field"] for error in found.value.facts["errors"]]
    assert fields == ["answers.one[1]", "answers.several", 'answers."a.b"']
