"""Operators add definitions to a program, and change them: the same calls for each kind."""

from typing import Annotated, Any, Final

from litestar import Controller, Request, get, post, put
from litestar.params import PathParameter, QueryParameter
from msgspec import Struct

from engage.api.http.answers import JSON, Answer, encode
from engage.api.http.answers import answer as plain_answer
from engage.api.http.bodies import check_query, read_document
from engage.api.http.callers import opened_programs, operator_idempotency, operator_of
from engage.api.http.operation import OPERATOR, Repeat, contract
from engage.api.http.parameters import NOT_GIVEN
from engage.api.http.problems import invalid_document
from engage.domain.definitions.kind import D, DefinitionKind
from engage.domain.document.errors import DocumentError, Problem, shown
from engage.domain.program.kinds import KINDS
from engage.domain.refusals import Code, Refusal, UseCase
from engage.flows.definitions.change import add_definition, change_definition
from engage.flows.definitions.read import (
    DefinitionDocument,
    DefinitionView,
    list_definitions,
    read_definition,
)

# A quiz with its pool of questions in several languages is longer than other bodies.
DOCUMENT_BYTES: Final = 512 * 1024

DefinitionIdParameter = Annotated[str, PathParameter(description="The id of the definition.")]
ProgramParameter = Annotated[
    str, QueryParameter(name="program", description="Only of this program.", max_length=32)
]


class DefinitionPage(Struct, frozen=True):
    """All definitions of a kind, the newest version of each. `next_cursor` is always null."""

    items: list[DefinitionView]
    next_cursor: None = None


class DefinitionVersion(Struct, frozen=True):
    """A version that was added. It is in force in every process within 2 s."""

    id: str
    version: int


def definition_controller(kind: DefinitionKind[D]) -> type[Controller]:
    """The operators' calls for the definitions of a kind."""
    plural, noun = kind.plural.replace("_", "-"), kind.name.replace("_", " ")
    operation = "".join(word.capitalize() for word in kind.name.split("_"))

    class DefinitionController(Controller):
        path = f"/v1/admin/{plural}"
        tags = ("Operators",)
        security = (OPERATOR,)
        middleware = (operator_idempotency(DOCUMENT_BYTES),)

        @get(
            operation_id=f"list{operation}Definitions",
            summary=f"List definitions: {plural}",
            response_description="The newest version of each.",
            opt=contract(),
        )
        async def definitions(
            self, request: Request[Any, Any, Any], program: ProgramParameter = NOT_GIVEN
        ) -> Answer[DefinitionPage]:
            """Those of program documents, and those that were added here."""
            api, key = await operator_of(request.scope)
            check_query(request, "program")
            return plain_answer(
                DefinitionPage(list_definitions(api.services, kind, opened_programs(api, key, program)))
            )

        @get(
            "/{definition_id:str}",
            operation_id=f"get{operation}Definition",
            summary=f"Get the definition of a {noun}",
            response_description="The newest version, with its ETag.",
            opt=contract(UseCase.READ_DEFINITION),
        )
        async def definition(
            self,
            request: Request[Any, Any, Any],
            definition_id: DefinitionIdParameter,
            program: ProgramParameter = NOT_GIVEN,
        ) -> Answer[DefinitionDocument]:
            """Ids are unique in a program: name it where several programs have this one."""
            api, key = await operator_of(request.scope)
            check_query(request, "program")
            programs = opened_programs(api, key, program)
            return _tagged(read_definition(api.services, kind, programs, definition_id), 200)

        @post(
            status_code=201,
            operation_id=f"create{operation}Definition",
            summary=f"Add a {noun}",
            response_description="The definition is in force, in every process within 2 s.",
            opt=contract(UseCase.ADD_DEFINITION, body=kind.struct, repeat=Repeat.HARMLESS),
        )
        async def add(self, request: Request[Any, Any, Any]) -> Answer[DefinitionVersion]:
            """The document names its `program`. Problems are listed, all of them."""
            return await _add(request, kind)

        @put(
            "/{definition_id:str}",
            operation_id=f"update{operation}Definition",
            summary=f"Change a {noun}",
            response_description="The new version is in force for what begins from now on.",
            opt=contract(UseCase.CHANGE_DEFINITION, body=kind.struct, if_match=True),
        )
        async def change(
            self, request: Request[Any, Any, Any], definition_id: DefinitionIdParameter
        ) -> Answer[DefinitionVersion]:
            """The whole document. `If-Match` is the ETag of the version that the caller has read. What began
            under it goes on under it.
            """
            return await _change(request, kind, definition_id)

    DefinitionController.__name__ = f"{operation}DefinitionController"
    return DefinitionController


CONTROLLERS: Final = tuple(definition_controller(kind) for kind in KINDS if kind.by_operators)


async def _add(request: Request[Any, Any, Any], kind: DefinitionKind[D]) -> Answer[DefinitionVersion]:
    api, key = await operator_of(request.scope)
    definition = await _read(request, kind)
    key.check(definition.program or "")
    try:
        added = await add_definition(api.services, kind, definition, operator=key.name)
    except DocumentError as error:
        raise invalid_document(error.problems) from None
    return _version(added, 201)


async def _change(
    request: Request[Any, Any, Any], kind: DefinitionKind[D], definition_id: str
) -> Answer[DefinitionVersion]:
    api, key = await operator_of(request.scope)
    expected = _if_match(request)
    definition = await _read(request, kind)
    key.check(definition.program or "")
    if definition.id != definition_id:
        found = Problem("id", f"{shown(definition_id)}, as in the path", shown(definition.id))
        raise invalid_document([found])
    try:
        changed = await change_definition(
            api.services, kind, definition, expected_version=expected, operator=key.name
        )
    except DocumentError as error:
        raise invalid_document(error.problems) from None
    return _version(changed, 200)


async def _read(request: Request[Any, Any, Any], kind: DefinitionKind[D]) -> D:
    """Read a definition. Raises as `read_document`."""
    definition = await read_document(request, kind.struct, DOCUMENT_BYTES)
    if definition.program is None:
        raise invalid_document([Problem("program", "the id of a program", "nothing")])
    return definition


def _if_match(request: Request[Any, Any, Any]) -> int | None:
    """The version of an ETag of ours; None for any other. Raises Refusal if_match_required."""
    tags = request.headers.getall("if-match", [])
    if not tags:
        raise Refusal(Code.IF_MATCH_REQUIRED)
    tag = tags[0].strip().strip('"') if len(tags) == 1 else ""
    return int(tag) if tag.isascii() and tag.isdigit() and len(tag) < 10 else None


def _tagged(document: DefinitionDocument, status: int) -> Answer[DefinitionDocument]:
    return Answer(encode(document), [*_etag(document), (b"cache-control", b"no-store"), *JSON], status)


def _version(document: DefinitionDocument, status: int) -> Answer[DefinitionVersion]:
    assert document.version is not None
    body = encode(DefinitionVersion(document.id, document.version))
    return Answer(body, [*_etag(document), (b"cache-control", b"no-store"), *JSON], status)


def _etag(document: DefinitionDocument) -> list[tuple[bytes, bytes]]:
    version = document.version if document.version is not None else document.program_version
    return [(b"etag", f'"{version}"'.encode())]
