"""Operators read programs and publish versions."""

from typing import Annotated, Any, Final

import msgspec
from litestar import Controller, Request, get, post
from litestar.params import PathParameter
from msgspec import Meta, Struct

from engage.api.http.answers import Answer, answer
from engage.api.http.bodies import decode, read_body
from engage.api.http.callers import approver_of, operator_idempotency, operator_of
from engage.api.http.operation import APPROVER, OPERATOR, Repeat, contract
from engage.api.http.problems import invalid_document
from engage.domain.document.errors import DocumentError
from engage.domain.refusals import UseCase
from engage.flows.programs.publish import publish
from engage.flows.programs.read import (
    ProgramView,
    VersionDocument,
    VersionView,
    list_programs,
    list_versions,
    read_document,
    view_of,
)

# A program document with its examples is longer than other bodies.
DOCUMENT_BYTES: Final = 1024 * 1024

ProgramParameter = Annotated[str, PathParameter(description="The id of the program, such as eu-mi-points.")]
VersionParameter = Annotated[str, PathParameter(description="The name of the version, such as 2022.")]


class ProgramPage(Struct, frozen=True):
    """All programs. `next_cursor` is always null."""

    items: list[ProgramView]
    next_cursor: None = None


class VersionPage(Struct, frozen=True):
    """All versions of a program. `next_cursor` is always null."""

    items: list[VersionView]
    next_cursor: None = None


class PublishVersionRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A program document in TOML, with its examples."""

    document: Annotated[str, Meta(min_length=1)]


_version = msgspec.json.Decoder(PublishVersionRequest)


class ProgramController(Controller):
    path = "/v1/admin/programs"
    tags = ("Operators",)
    middleware = (operator_idempotency(DOCUMENT_BYTES),)

    @get(
        security=(APPROVER,),
        operation_id="listPrograms",
        summary="List programs",
        response_description="All programs, by id.",
        opt=contract(),
    )
    async def programs(self, request: Request[Any, Any, Any]) -> Answer[ProgramPage]:
        """With the newest version of each."""
        api, key = await approver_of(request.scope)
        return answer(
            ProgramPage([program for program in list_programs(api.services) if key.opens(program.id)])
        )

    @get(
        "/{program_id:str}/versions",
        security=(APPROVER,),
        operation_id="listProgramVersions",
        summary="List the versions of a program",
        response_description="All versions, by start date.",
        opt=contract(UseCase.LIST_VERSIONS),
    )
    async def versions(
        self, request: Request[Any, Any, Any], program_id: ProgramParameter
    ) -> Answer[VersionPage]:
        """Versions are added and never changed."""
        api, key = await approver_of(request.scope)
        key.check(program_id)
        return answer(VersionPage(list_versions(api.services, program_id)))

    @get(
        "/{program_id:str}/versions/{version:str}",
        security=(APPROVER,),
        operation_id="getProgramVersion",
        summary="Get the document of a version",
        response_description="The document as it was published.",
        opt=contract(UseCase.READ_VERSION),
    )
    async def version(
        self, request: Request[Any, Any, Any], program_id: ProgramParameter, version: VersionParameter
    ) -> Answer[VersionDocument]:
        """The next version can start from this document."""
        api, key = await approver_of(request.scope)
        key.check(program_id)
        return answer(await read_document(api.services, program_id, version))

    @post(
        "/{program_id:str}/versions",
        security=(OPERATOR,),
        status_code=201,
        operation_id="publishProgramVersion",
        summary="Publish a version",
        response_description="The version is published. Every process loads it within seconds.",
        opt=contract(
            UseCase.PUBLISH_VERSION,
            body=PublishVersionRequest,
            repeat=Repeat.HARMLESS,
            also=((200, "The same document was published before."),),
        ),
    )
    async def publish(
        self, request: Request[Any, Any, Any], program_id: ProgramParameter
    ) -> Answer[VersionView]:
        """The document has to be valid, pass its examples, and be compatible with earlier versions. The first
        version makes a new program. In a program with members, a version begins on a future day, except in
        the sandbox.
        """
        api, key = await operator_of(request.scope)
        key.check(program_id)
        body = await read_body(request.scope, request.receive, DOCUMENT_BYTES)
        text = decode(body, _version).document
        try:
            program, new = await publish(
                api.services.db,
                text,
                source=program_id,
                operator=key.name,
                clock=api.services.clock,
                program_id=program_id,
                past_allowed=api.sandbox is not None,
            )
        except DocumentError as error:
            raise invalid_document(error.problems) from None
        await api.services.programs.refresh(api.services.db)
        return answer(view_of(program), 201 if new else 200)
