"""The step of examples in which a member plays a game, and its expected outcome."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, ClassVar, Self

from msgspec import Meta
from msgspec.structs import replace

from engage.domain.definitions.definition import DefinitionId
from engage.domain.document.errors import Problem, nearest, shown
from engage.domain.feature.action import Action
from engage.domain.feature.outcome import NOTHING, Expectation, Outcome
from engage.domain.feature.section import Context
from engage.domain.games.simulated import SimulatedGames
from engage.domain.refusals import Code
from engage.domain.simulation.member import SimulatedMember


class ExpectedPlay(Expectation, frozen=True):
    """The prize of a play, or "nothing", and the chances that are left after it."""

    prize: DefinitionId
    chances_left: Annotated[int, Meta(ge=0, le=1_000)] | None = None

    def in_words(self, zone: str) -> str:
        left = "" if self.chances_left is None else f", and {self.chances_left} chances left"
        return self.prize + left

    def as_detailed_as(self, expected: Self | None) -> Self:
        return self if expected and expected.chances_left is not None else replace(self, chances_left=None)


class PlayGame(Action, frozen=True, tag="play_game"):
    """The member plays a game. `draws` is the prize that the play's number draws; none if it is left out.

    Limits of the game can still cut it.
    """

    results: ClassVar = frozenset({"earns", "wins", "held"})

    game_id: DefinitionId
    draws: DefinitionId | None = None

    def problems(self, path: str, context: Context, *, refused: Code | None) -> Iterator[Problem]:
        known = context.ids.get("games", ())
        if self.game_id not in known and refused != Code.NOT_FOUND:
            found = shown(self.game_id) + nearest(self.game_id, known)
            yield Problem(f"{path}.game_id", "the id of a game", found)

    def play(self, member: SimulatedMember, at: datetime) -> Outcome:
        played = member.feature(SimulatedGames).play(self.game_id, self.draws, at)
        result = ExpectedPlay(prize=played.outcome.prize or NOTHING, chances_left=played.left.left)
        return Outcome(credits=played.credits, results={"wins": result})
