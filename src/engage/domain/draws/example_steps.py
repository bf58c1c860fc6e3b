"""The step of examples about draws."""

from collections.abc import Iterator
from datetime import datetime

from engage.domain.definitions.definition import DefinitionId
from engage.domain.document.errors import Problem, nearest, shown
from engage.domain.draws.definition import Post
from engage.domain.draws.simulated import SimulatedDraws
from engage.domain.feature.action import Action
from engage.domain.feature.outcome import Outcome
from engage.domain.feature.section import Context
from engage.domain.refusals import Code
from engage.domain.simulation.member import SimulatedMember


class EnterDraw(Action, frozen=True, kw_only=True, tag="enter_draw"):
    """The member enters a draw, with a post where it needs one. Nobody else enters, so they win."""

    draw_id: DefinitionId
    post: Post | None = None

    def problems(self, path: str, context: Context, *, refused: Code | None) -> Iterator[Problem]:
        known = context.ids["draws"]
        if refused != Code.NOT_FOUND and self.draw_id not in known:
            found = shown(self.draw_id) + nearest(self.draw_id, known)
            yield Problem(f"{path}.draw_id", "the id of a draw", found)

    def play(self, member: SimulatedMember, at: datetime) -> Outcome:
        member.feature(SimulatedDraws).enter(self.draw_id, self.post, at)
        return Outcome()
