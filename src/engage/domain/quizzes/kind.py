"""Quizzes as a kind of definition."""

from typing import Final

from engage.domain.definitions.kind import DefinitionKind
from engage.domain.quizzes.definition import Quiz
from engage.domain.quizzes.simulated import SimulatedQuizzes
from engage.domain.quizzes.validation import quiz_problems

QUIZ: Final = DefinitionKind(
    name="quiz", plural="quizzes", struct=Quiz, problems=quiz_problems, simulate=SimulatedQuizzes
)
