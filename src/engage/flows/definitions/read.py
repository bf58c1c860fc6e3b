"""Definitions as operators see them: those of the newest program versions, and those that were added."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import Struct

from engage.domain.definitions.kind import D, DefinitionKind
from engage.domain.document.texts import Texts
from engage.domain.program import versions
from engage.domain.program.program import Program
from engage.domain.refusals import Code, Refusal
from engage.runtime.definition_cache import Versioned, number_of, of_documents
from engage.runtime.services import Services


class DefinitionView(Struct, frozen=True, kw_only=True):
    """A definition. `source` says whether it is part of the program's document, with the name of the version
    as `program_version`, or was added by an operator, with `version` counted from 1.
    """

    id: str
    program: str
    title: Texts
    source: Literal["program", "operator"]
    version: int | None
    program_version: str | None
    since: datetime


class DefinitionDocument(DefinitionView, frozen=True, kw_only=True):
    """With the whole document."""

    document: dict[str, Any]


def list_definitions(
    services: Services, kind: DefinitionKind[D], programs: Sequence[str]
) -> list[DefinitionView]:
    """The newest version of each definition of these programs."""
    return [
        _view(program_id, each) for program_id in programs for each in _newest(services, kind, program_id)
    ]


def read_definition(
    services: Services, kind: DefinitionKind[D], programs: Sequence[str], id_: str
) -> DefinitionDocument:
    """The definition of that id in the first of these programs that has one. Raises Refusal not_found."""
    for program_id in programs:
        for each in _newest(services, kind, program_id):
            if each.id == id_:
                return document_of(program_id, each)
    raise Refusal(Code.NOT_FOUND)


def document_of(program_id: str, version: Versioned[Any]) -> DefinitionDocument:
    view = msgspec.structs.asdict(_view(program_id, version))
    return DefinitionDocument(**view, document=msgspec.to_builtins(version.definition))


def newest_programs(services: Services, program_id: str) -> list[Program]:
    """The newest version of each country. Raises Refusal unknown_program."""
    return versions.newest_by_country(services.programs.get(program_id))


def _newest(services: Services, kind: DefinitionKind[D], program_id: str) -> list[Versioned[D]]:
    """Those of the newest program versions, also before they are in force, and those of operators."""
    newest = {each.id: each for each in services.definitions.every(kind, program_id)}
    in_document = of_documents(newest_programs(services, program_id), kind)
    return [each for each in newest.values() if number_of(each) is not None or each.id in in_document]


def _view(program_id: str, version: Versioned[Any]) -> DefinitionView:
    number = number_of(version)
    return DefinitionView(
        id=version.id,
        program=program_id,
        title=version.definition.title,
        source="program" if number is None else "operator",
        version=number,
        program_version=version.version if number is None else None,
        since=version.since,
    )
