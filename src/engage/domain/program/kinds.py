"""The table of kinds of definitions: one line each."""

from typing import Any, Final

from engage.domain.challenges.kind import CHALLENGE
from engage.domain.definitions.kind import DefinitionKind
from engage.domain.draws.kind import DRAW
from engage.domain.games.kind import GAME
from engage.domain.leaderboards.kind import LEADERBOARD
from engage.domain.quizzes.kind import QUIZ

KINDS: Final[tuple[DefinitionKind[Any], ...]] = (QUIZ, GAME, DRAW, CHALLENGE, LEADERBOARD)
