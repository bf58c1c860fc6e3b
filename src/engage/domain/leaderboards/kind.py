"""The kind of definitions that leaderboards are."""

from typing import Final

from engage.domain.definitions.kind import DefinitionKind
from engage.domain.leaderboards import validation
from engage.domain.leaderboards.definition import Leaderboard

LEADERBOARD: Final[DefinitionKind[Leaderboard]] = DefinitionKind(
    name="leaderboard",
    plural="leaderboards",
    struct=Leaderboard,
    problems=validation.problems,
    reacts=True,
)
