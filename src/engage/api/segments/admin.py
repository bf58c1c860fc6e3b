"""Operators define segments by lists or by conditions, and see them with their counts."""

from typing import Annotated, Any, Final

import msgspec
from litestar import Controller, Request, get, put
from litestar.params import PathParameter, QueryParameter
from msgspec import Struct

from engage.api.http.answers import Answer, answer
from engage.api.http.bodies import check_query, read_document, read_large_body
from engage.api.http.callers import opened_programs, operator_of
from engage.api.http.context import Api
from engage.api.http.operation import OPERATOR, contract
from engage.api.http.pages import PAGE, Cursor, Limit, cut, name_after
from engage.api.http.parameters import NOT_GIVEN
from engage.api.http.problems import BODY_BYTES, FieldError, invalid, invalid_document
from engage.decoding.csv_text import InvalidFile
from engage.domain.campaigns.segments import SegmentDocument
from engage.domain.definitions.definition import DefinitionId
from engage.domain.document import decoding
from engage.domain.document.errors import DocumentError, shown
from engage.domain.refusals import Code, Refusal, UseCase
from engage.flows.segments.change import SegmentChange
from engage.flows.segments.define import define_segment
from engage.flows.segments.id_list import HEADER, IDS_PER_REQUEST, IdList
from engage.flows.segments.read import (
    SegmentView,
    SeveralPrograms,
    find_program,
    list_segments,
    read_segment,
)
from engage.flows.segments.replace_list import replace_list_by_request
from engage.store.api_keys import ApiKey
from engage.store.segments.segments import SegmentKey

# A million of the longest ids, in quotation marks, with CRLF.
LIST_BYTES: Final = 80 * 1024 * 1024

CSV: Final = "text/csv"
JSON_TYPE: Final = "application/json"

SegmentIdParameter = Annotated[str, PathParameter(description="The id of the segment.")]
ProgramParameter = Annotated[
    str, QueryParameter(name="program", description="Only of this program.", max_length=32)
]
ProgramOfSegment = Annotated[
    str,
    QueryParameter(
        name="program",
        description="The program of the segment. Needed where the key opens several, and not just one of them"
        " has this segment.",
        max_length=32,
    ),
]


class SegmentPage(Struct, frozen=True):
    """Segments, by program and id."""

    items: list[SegmentView]
    next_cursor: str | None


class SegmentController(Controller):
    path = "/v1/admin/segments"
    tags = ("Segments",)
    security = (OPERATOR,)

    @get(
        operation_id="listSegments",
        summary="List segments",
        response_description="The newest version of each, with its number of members.",
        opt=contract(),
    )
    async def segments(
        self,
        request: Request[Any, Any, Any],
        program: ProgramParameter = NOT_GIVEN,
        cursor: Cursor = NOT_GIVEN,
        limit: Limit = PAGE,
    ) -> Answer[SegmentPage]:
        """Of the programs that the key opens."""
        api, key = await operator_of(request.scope)
        check_query(request, "program", "cursor", "limit")
        program_id, _, segment_id = name_after(cursor).partition("/")
        programs = opened_programs(api, key, program)
        found = await list_segments(api.services, programs, after=(program_id, segment_id), limit=limit + 1)
        return answer(SegmentPage(*cut(found, limit, lambda segment: f"{segment.program}/{segment.id}")))

    @get(
        "/{segment_id:str}",
        operation_id="getSegment",
        summary="Get a segment",
        response_description="The newest version, with its number of members.",
        opt=contract(UseCase.READ_SEGMENT),
    )
    async def segment(
        self,
        request: Request[Any, Any, Any],
        segment_id: SegmentIdParameter,
        program: ProgramParameter = NOT_GIVEN,
    ) -> Answer[SegmentView]:
        """Ids are unique in a program: name it where several programs have this one."""
        api, key = await operator_of(request.scope)
        check_query(request, "program")
        programs = opened_programs(api, key, program)
        if not _is_segment_id(segment_id):
            raise Refusal(Code.NOT_FOUND)
        try:
            return answer(await read_segment(api.services, programs, segment_id))
        except SeveralPrograms:
            expected = "needed: segments of several programs have this id"
            raise invalid(FieldError("program", expected)) from None

    @put(
        "/{segment_id:str}",
        operation_id="updateSegment",
        summary="Define a segment",
        response_description="The version is stored, and in force from the instant in `since` on.",
        opt=contract(
            UseCase.CHANGE_SEGMENT,
            body=SegmentDocument,
            csv_body=f"Member ids, one a line, {IDS_PER_REQUEST} at most, in UTF-8. The first line may be "
            f"`{HEADER}`. A file with nothing but that line is a list of nobody.",
        ),
    )
    async def replace(
        self,
        request: Request[Any, Any, Any],
        segment_id: SegmentIdParameter,
        program: ProgramOfSegment = NOT_GIVEN,
    ) -> Answer[SegmentChange]:
        """A new segment, or another version of one: by CSV a list, by JSON conditions. All of it, or nothing
        where it is refused.

        Those who are not in the list leave the segment, new ones enter it, and the others stay. Lines without
        an id and ids of nobody are left out and shown by number, the first hundred of each. An id that was
        merged is the survivor's.

        A computed segment has no members of its own: whoever meets all conditions at the time of an activity
        is in it. JSON without conditions gives a list a title.
        """
        api, key = await operator_of(request.scope)
        check_query(request, "program")
        if not _is_segment_id(segment_id):
            expected = decoding.expected(DefinitionId)
            raise invalid(FieldError("segment_id", f"expected {expected}, got {shown(segment_id)}"))
        program = await _program_of(api, key, program, segment_id)
        if _media_type(request) == JSON_TYPE:
            return await _define(api, (program, segment_id), request, operator=key.name)
        with IdList(most=IDS_PER_REQUEST) as ids:
            try:
                await read_large_body(request.scope, request.receive, LIST_BYTES, ids.add)
                ids.close()
            except InvalidFile as problem:
                raise invalid(FieldError("$", str(problem))) from None
            replaced = await replace_list_by_request(
                api.services, (program, segment_id), ids, operator=key.name
            )
        return answer(replaced)


async def _program_of(api: Api, key: ApiKey, program: str, segment_id: str) -> str:
    """The named program, or among those that the key opens the only one, or the only one with the segment.

    Raises Refusal invalid_request, other_program, unknown_program; Unavailable.
    """
    opened = opened_programs(api, key, program)
    if program:
        api.services.programs.get(program)
        return program
    found = await find_program(api.services, opened, segment_id)
    if found is None:
        expected = "needed: the key opens several programs, and not just one has this segment"
        raise invalid(FieldError("program", expected))
    return found


def _is_segment_id(segment_id: str) -> bool:
    try:
        msgspec.convert(segment_id, DefinitionId)
    except msgspec.ValidationError:
        return False
    return True


async def _define(
    api: Api, key: SegmentKey, request: Request[Any, Any, Any], *, operator: str
) -> Answer[SegmentChange]:
    document = await read_document(request, SegmentDocument, BODY_BYTES)
    try:
        return answer(await define_segment(api.services, key, document, operator=operator))
    except DocumentError as error:
        raise invalid_document(error.problems) from None


def _media_type(request: Request[Any, Any, Any]) -> str:
    """Raises Refusal invalid_request."""
    named, _, _ = request.headers.get("content-type", "").partition(";")
    media_type = named.strip().lower()
    if media_type not in (CSV, JSON_TYPE):
        expected = f"expected {CSV} or {JSON_TYPE}, got {shown(named or None)}"
        raise invalid(FieldError("Content-Type", expected))
    return media_type
