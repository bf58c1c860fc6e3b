"""The kind of definitions that games are."""

from typing import Final

from engage.domain.definitions.kind import DefinitionKind
from engage.domain.games import validation
from engage.domain.games.definition import Game
from engage.domain.games.simulated import SimulatedGames

GAME: Final[DefinitionKind[Game]] = DefinitionKind(
    name="game", plural="games", struct=Game, problems=validation.problems, simulate=SimulatedGames
)
