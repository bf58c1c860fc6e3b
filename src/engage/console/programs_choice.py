"""The choice of the programs that an operator or a key works on."""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from engage.console.context import Visitor
from engage.console.forms import Form

FIELD: Final = "programs"
EVERY: Final = "*"


class ProgramChoice(Struct, frozen=True):
    """The programs that a visitor may open, and those that are ticked. `every`: they may open all of them."""

    offered: list[str]
    every: bool
    ticked: frozenset[str]
    problem: str = ""

    @property
    def programs(self) -> list[str] | None:
        """The ticked programs, None for every program."""
        return None if EVERY in self.ticked else [name for name in self.offered if name in self.ticked]


def choice_for(visitor: Visitor, programs: Iterable[str] | None = ()) -> ProgramChoice:
    """The choice with these programs ticked, None for every program."""
    ticked = frozenset([EVERY] if programs is None else programs)
    offered = dict.fromkeys([*visitor.programs, *sorted(ticked - {EVERY})])
    return ProgramChoice(list(offered), visitor.operator.programs is None, ticked)


def sent_choice(visitor: Visitor, form: Form, present: Iterable[str] | None = ()) -> ProgramChoice:
    """The choice that a form makes, of what was offered to the visitor. `present`: those that were ticked."""
    offered = choice_for(visitor, present)
    allowed = {*offered.offered, *([EVERY] if offered.every else [])}
    ticked = frozenset(form.texts(FIELD)) & allowed
    return ProgramChoice(offered.offered, offered.every, ticked, "" if ticked else "none")
