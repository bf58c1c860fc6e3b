"""The table of quizzes."""

from engage.domain.document.texts import FALLBACK, text_in
from engage.domain.program.program import Program
from engage.domain.program_text.description import Description, SectionTable
from engage.domain.program_text.wording import duration
from engage.domain.quizzes.definition import Quiz

HEADERS = ("quiz", "title", "points", "questions", "attempts", "time")


def describe(program: Program) -> Description:
    if not program.quizzes:
        return Description()
    rows = [
        (
            quiz.id,
            text_in(quiz.title, FALLBACK),
            f"{quiz.points_max:,}",
            _questions(quiz),
            _attempts(quiz),
            duration(quiz.time_limit),
        )
        for quiz in program.quizzes
    ]
    return Description([], SectionTable(HEADERS, rows, HEADERS.index("points")))


def _questions(quiz: Quiz) -> str:
    words = f"{quiz.asked}" if quiz.draw is None else f"{quiz.asked} of {len(quiz.questions)}"
    return words if not quiz.pass_mark else f"{words}, {quiz.pass_mark} to pass"


def _attempts(quiz: Quiz) -> str:
    window = quiz.attempts.window
    return f"{quiz.attempts.count} ever" if window == "ever" else f"{quiz.attempts.count} a {window}"
