"""A kind of definition: all that the rest of the program needs to know of it."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from msgspec import Struct

from engage.domain.definitions.definition import Definition
from engage.domain.document.errors import Problem, duplicate_names
from engage.domain.feature.section import Context, Section
from engage.domain.simulation.member import SimulatedFeature, SimulatedMember

D = TypeVar("D", bound=Definition)


def _no_amounts(definition: object) -> bool:
    return False


def _no_conflicts(earlier: object, later: object, version: str, path: str) -> Iterator[Problem]:
    return iter(())


class DefinitionKind(Struct, Generic[D], frozen=True, kw_only=True):
    """One line of `engage.domain.program.kinds`.

    `name` begins the ids of what it pays (`quiz:spring`); `plural` is the field of a program's document and
    the path of the operators' API. `problems` validates a definition at a path. `reacts`: what it pays
    follows from what the ledger and the orders say. `by_operators`: they add some while the program runs.
    `simulate` makes the state of
    all definitions of the kind for one simulated member. `conflicts` compares an earlier and a later
    definition of the same id, of two program versions.
    """

    name: str
    plural: str
    struct: type[D]
    problems: Callable[[D, str, Context], Iterator[Problem]]
    reacts: bool = False
    by_operators: bool = True
    has_amounts: Callable[[D], bool] = _no_amounts
    conflicts: Callable[[D, D, str, str], Iterator[Problem]] = _no_conflicts
    simulate: Callable[[SimulatedMember, Sequence[D]], SimulatedFeature] | None = None

    def of(self, document: Any) -> Sequence[D]:
        """The definitions of this kind in a program's document."""
        found: Sequence[D] = getattr(document, self.plural)
        return found

    def rule_id(self, definition_id: str) -> str:
        """The rule of the credits that a definition pays."""
        return f"{self.name}:{definition_id}"


def definition_section(kind: DefinitionKind[D]) -> Section[Any]:
    """The section of a program's document that has the definitions of a kind."""

    simulate = kind.simulate
    return Section(
        problems=lambda document, context: definition_problems(kind, document, document.id, context),
        conflicts=partial(definition_conflicts, kind),
        ids=lambda document: {kind.plural: [each.id for each in kind.of(document)]},
        pays=lambda document: [kind.rule_id(each.id) for each in kind.of(document)],
        has_amounts=lambda document: any(map(kind.has_amounts, kind.of(document))),
        reacts=lambda document: kind.reacts and bool(kind.of(document)),
        simulate=None if simulate is None else lambda member, document: simulate(member, kind.of(document)),
    )


def definition_problems(
    kind: DefinitionKind[Any], document: Any, program_id: str, context: Context
) -> Iterator[Problem]:
    """The problems of a kind's definitions in a document of a program."""
    definitions = kind.of(document)
    yield from duplicate_names([each.id for each in definitions], kind.plural, "id")
    for n, definition in enumerate(definitions):
        path = f"{kind.plural}[{n}]"
        if definition.program not in (None, program_id):
            yield Problem(f"{path}.program", f"{program_id}, or no program", str(definition.program))
        yield from kind.problems(definition, path, context)


def definition_conflicts(
    kind: DefinitionKind[Any], earlier: Any, later: Any, version: str
) -> Iterator[Problem]:
    """Definitions of a document that cannot follow those of the same id in an earlier one."""
    before = {definition.id: definition for definition in kind.of(earlier)}
    for n, definition in enumerate(kind.of(later)):
        if definition.id in before:
            yield from kind.conflicts(before[definition.id], definition, version, f"{kind.plural}[{n}]")


def standalone_problems(kind: DefinitionKind[D], definition: D, context: Context) -> list[Problem]:
    """The problems of a definition that stands alone. Its paths begin at the definition itself."""
    return [
        Problem(problem.path.removeprefix("$."), problem.expected, problem.found)
        for problem in kind.problems(definition, "$", context)
    ]
