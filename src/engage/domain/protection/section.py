"""The section `protection` of a document."""

from collections.abc import Iterator
from typing import Protocol

from engage.domain.document.errors import Problem
from engage.domain.feature.section import Context, Section
from engage.domain.protection import validation
from engage.domain.protection.definition import Protection


class ProtectedDocument(Protocol):
    """The fields that this section reads."""

    @property
    def protection(self) -> Protection | None: ...


def _problems(document: ProtectedDocument, context: Context) -> Iterator[Problem]:
    if document.protection is not None:
        yield from validation.problems(document.protection)


PROTECTION: Section[ProtectedDocument] = Section(problems=_problems)
