"""The section `protection` of a document."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from engage.domain.document.errors import Problem
from engage.domain.feature.section import Context, Section
from engage.domain.protection import validation
from engage.domain.protection.definition import Protection
from engage.domain.protection.simulated import SimulatedProtection


class ProtectedDocument(Protocol):
    """The fields that this section reads."""

    @property
    def protection(self) -> Protection | None: ...


def _problems(document: ProtectedDocument, context: Context) -> Iterator[Problem]:
    if document.protection is not None:
        yield from validation.problems(document.protection)


def _ids(document: ProtectedDocument) -> Mapping[str, Sequence[str]]:
    rules = () if document.protection is None else document.protection.velocity
    return {"velocity": [rule.id for rule in rules]}


PROTECTION: Section[ProtectedDocument] = Section(
    problems=_problems,
    ids=_ids,
    simulate=lambda member, document: SimulatedProtection(member, document.protection),
)
