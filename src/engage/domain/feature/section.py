"""A feature's section of a document: the functions that validate it, compare its versions and simulate it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from msgspec import Struct

from engage.domain.document.errors import Problem
from engage.domain.document.worth import Worth
from engage.domain.simulation.member import SimulatedFeature, SimulatedMember

# The fields that the feature reads, as a Protocol: a program has them, and a campaign can.
Document = TypeVar("Document", contravariant=True)


class Context(Struct, frozen=True):
    """The rest of a document, as far as a feature may depend on it.

    `ids` are those of the document's definitions, by section: the ids of "rules", of "rewards". `paying` are
    the rules that its credits name.
    """

    worth: Worth | None
    ids: Mapping[str, Sequence[str]]
    paying: Sequence[str] = ()


def _no_problems(document: object, context: Context) -> Iterator[Problem]:
    return iter(())


def _no_conflicts(earlier: object, later: object, version: str) -> Iterator[Problem]:
    return iter(())


def _no_ids(document: object) -> Mapping[str, Sequence[str]]:
    return {}


def _no_rules(document: object) -> Sequence[str]:
    return ()


def _no(document: object) -> bool:
    return False


class Section(Struct, Generic[Document], frozen=True, kw_only=True):
    """One line of `engage.domain.program.sections`.

    `problems` validates the section. `conflicts` compares it with the same section of an earlier version,
    whose name is the last argument. `ids` names its definitions, `pays` the rules that its credits name.
    `has_amounts`: it contains amounts in minor units. `reacts`: what it pays follows from what the ledger and
    the orders say. `simulate` makes the feature's state for one simulated member.
    """

    problems: Callable[[Document, Context], Iterator[Problem]] = _no_problems
    conflicts: Callable[[Document, Document, str], Iterator[Problem]] = _no_conflicts
    ids: Callable[[Document], Mapping[str, Sequence[str]]] = _no_ids
    pays: Callable[[Document], Sequence[str]] = _no_rules
    has_amounts: Callable[[Document], bool] = _no
    reacts: Callable[[Document], bool] = _no
    simulate: Callable[[SimulatedMember, Document], SimulatedFeature] | None = None
