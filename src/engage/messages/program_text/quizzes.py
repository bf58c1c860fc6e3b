"""The table of quizzes."""

from engage.domain.program.program import Program
from engage.domain.quizzes.definition import Quiz
from engage.messages.program_text.description import Description, SectionTable
from engage.messages.program_text.wording import Wording


def describe(program: Program, words: Wording) -> Description:
    if not program.quizzes:
        return Description()
    headers = words.headers("quiz", "title", "points", "questions", "attempts", "time")
    return Description([], SectionTable(headers, [_row(quiz, words) for quiz in program.quizzes], 2))


def _row(quiz: Quiz, words: Wording) -> tuple[str, ...]:
    return (
        quiz.id,
        words.title(quiz.title),
        words.number(quiz.points_max),
        _questions(quiz, words),
        words.per(quiz.attempts.count, quiz.attempts.window),
        words.duration(quiz.time_limit),
    )


def _questions(quiz: Quiz, words: Wording) -> str:
    shown = words.number(quiz.asked)
    if quiz.draw is not None:
        shown = words.text("quiz.asked", n=quiz.asked, all=len(quiz.questions))
    return words.text("quiz.pass", questions=shown, n=quiz.pass_mark) if quiz.pass_mark else shown
