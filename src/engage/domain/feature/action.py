"""The base of what a member or the shop does in an example, apart from activities."""

from collections.abc import Iterator
from datetime import datetime
from typing import ClassVar

from engage.domain.document.errors import Problem
from engage.domain.document.fields import DocumentStruct
from engage.domain.feature.outcome import Outcome
from engage.domain.feature.section import Context
from engage.domain.refusals import Code
from engage.domain.simulation.member import SimulatedMember


class Action(DocumentStruct, frozen=True, tag_field="activity"):
    """`results` are the fields of a step that can expect something of this action, such as `earns`."""

    results: ClassVar[frozenset[str]] = frozenset()
    must_earn: ClassVar[bool] = False  # Its step has to expect credits or a refusal.

    def problems(self, path: str, context: Context, *, refused: Code | None) -> Iterator[Problem]:
        """Validate the action before it is played. `refused` is the refusal that its step expects."""
        return iter(())

    def play(self, member: SimulatedMember, at: datetime) -> Outcome:
        """Act on the simulated member. Raises Refusal."""
        raise NotImplementedError
