"""Operators see programs and publish versions of them."""

from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, get, post
from litestar.params import PathParameter
from msgspec import Meta, Struct

from engage.api.admin.callers import DOCUMENT_BYTES, once_for_documents, operator_of
from engage.api.answer import Answer, answer
from engage.api.bodies import decode, read_body
from engage.api.contract import OPERATOR, contract
from engage.domain.document.errors import DocumentError
from engage.domain.refusals import Code, Refusal, UseCase
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

ProgramParameter = Annotated[str, PathParameter(description="The program's id, such as eu-mi-points.")]
VersionParameter = Annotated[str, PathParameter(description="The version's name, such as 2022.")]


class ProgramPage(Struct, frozen=True):
    items: list[ProgramView]
    next_cursor: None = None


class VersionPage(Struct, frozen=True):
    items: list[VersionView]
    next_cursor: None = None


class Publishing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A program document: TOML, with the examples that it proves itself by."""

    document: Annotated[str, Meta(min_length=1)]


_publishing = msgspec.json.Decoder(Publishing)


class ProgramController(Controller):
    path = "/v1/admin/programs"
    tags = ("Operators",)
    security = (OPERATOR,)
    middleware = (once_for_documents,)

    @get(
        operation_id="listPrograms",
        summary="The programs",
        response_description="All of them, by id.",
        opt=contract(),
    )
    async def programs(self, request: Request[Any, Any, Any]) -> Answer[ProgramPage]:
        """Each with its newest version."""
        api, _ = await operator_of(request.scope)
        return answer(ProgramPage(list_programs(api.services)))

    @get(
        "/{program_id:str}/versions",
        operation_id="listVersions",
        summary="The versions of a program",
        response_description="All of them, by their first day.",
        opt=contract(UseCase.LIST_VERSIONS),
    )
    async def versions(
        self, request: Request[Any, Any, Any], program_id: ProgramParameter
    ) -> Answer[VersionPage]:
        """Versions are added and never changed."""
        api, _ = await operator_of(request.scope)
        return answer(VersionPage(list_versions(api.services, program_id)))

    @get(
        "/{program_id:str}/versions/{version:str}",
        operation_id="getVersion",
        summary="The document of a version",
        response_description="The document as it was published.",
        opt=contract(UseCase.READ_VERSION),
    )
    async def version(
        self, request: Request[Any, Any, Any], program_id: ProgramParameter, version: VersionParameter
    ) -> Answer[VersionDocument]:
        """What a next version is best begun with."""
        api, _ = await operator_of(request.scope)
        return answer(await read_document(api.services, program_id, version))

    @post(
        "/{program_id:str}/versions",
        status_code=201,
        operation_id="publishVersion",
        summary="Publish a version",
        response_description="The version is published; every process knows it within seconds.",
        opt=contract(
            UseCase.PUBLISH_VERSION,
            takes=Publishing,
            once=True,
            also=((200, "This very document was published before."),),
        ),
    )
    async def publish(
        self, request: Request[Any, Any, Any], program_id: ProgramParameter
    ) -> Answer[VersionView]:
        """It has to be sound, prove itself by its examples, and follow the versions before it. A program that
        is new begins with its first version.
        """
        api, _ = await operator_of(request.scope)
        body = await read_body(request.scope, request.receive, DOCUMENT_BYTES)
        text = decode(body, _publishing).document
        try:
            program, new = await publish(
                api.services.db, text, source=program_id, now=api.services.clock.now(), program_id=program_id
            )
        except DocumentError as error:
            problems = [str(problem) for problem in error.problems]
            raise Refusal(Code.INVALID_DOCUMENT, problems=problems) from None
        await api.services.programs.refresh(api.services.db)
        return answer(view_of(program), 201 if new else 200)
