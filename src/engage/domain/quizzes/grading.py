"""Grading of an attempt. Nothing of a grade is shown before it is final."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from engage.domain.document.errors import join, shown
from engage.domain.quizzes.definition import Question, Quiz
from engage.domain.refusals import Code, Refusal

Answers = Mapping[str, Sequence[str]]  # The ids of options by question.


class Grade(Struct, frozen=True):
    """`right` are the questions that were answered right, by id. `points` are 0 below the pass mark."""

    right: frozenset[str]
    total: int
    passed: bool
    points_right: int
    points_full_score: int

    @property
    def correct(self) -> int:
        return len(self.right)

    @property
    def points(self) -> int:
        return self.points_right + self.points_full_score


def check_answers(questions: Sequence[Question], answers: Answers) -> None:
    """Raises Refusal invalid_request for answers to other questions, or of other options."""
    options = {question.id: {option.id for option in question.options} for question in questions}
    errors = []
    for question_id, chosen in answers.items():
        path = join("answers", question_id)
        if question_id not in options:
            errors.append({"field": path, "message": "expected a question of this attempt"})
            continue
        errors += [
            {"field": f"{path}[{n}]", "message": f"expected an option of the question, got {shown(option)}"}
            for n, option in enumerate(chosen)
            if option not in options[question_id]
        ]
    if errors:
        raise Refusal(Code.INVALID_REQUEST, errors=errors)


def normalized(questions: Sequence[Question], answers: Answers) -> dict[str, list[str]]:
    """The answers in one notation: by question id, the options in the order of their ids unless the order is
    the answer, without questions that were left out. Answers that are the same are equal then.
    """
    kinds = {question.id: question.kind for question in questions}
    return {
        question_id: list(chosen) if kinds[question_id] == "order" else sorted(chosen)
        for question_id, chosen in sorted(answers.items())
        if chosen
    }


def grade(quiz: Quiz, questions: Sequence[Question], answers: Answers) -> Grade:
    """Grade the answers to the questions of an attempt. A question without an answer is wrong."""
    given = normalized(questions, answers)
    rights = normalized(questions, {question.id: question.right for question in questions})
    right = frozenset(id_ for id_, chosen in given.items() if chosen == rights[id_])
    passed = len(right) >= (quiz.pass_mark or 0)
    is_full = len(right) == len(questions)
    return Grade(
        right=right,
        total=len(questions),
        passed=passed,
        points_right=len(right) * (quiz.points_per_right or 0) if passed else 0,
        points_full_score=(quiz.points_full_score or 0) if passed and is_full else 0,
    )
