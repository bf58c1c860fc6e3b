"""One segment: who is in it, who changed it, its list to download, and the form of its conditions."""

from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, Final

from litestar import Controller, get, post
from litestar.params import PathParameter
from litestar.response import Response, Stream

from engage.console.campaigns.surroundings import markets_of
from engage.console.context import HtmlRequest, Visitor, asked, visitor_of
from engage.console.forms import do_once, read_form
from engage.console.permissions import needs
from engage.console.rendering import HEADERS, page
from engage.console.segments.conditions import mistakes_at, read_document, typed_document
from engage.console.segments.pages import is_segment_id
from engage.domain.document.errors import DocumentError
from engage.domain.operators.roles import Permission
from engage.domain.refusals import Code, Refusal
from engage.flows.segments.change import SegmentChange
from engage.flows.segments.define import define_segment
from engage.flows.segments.id_list import HEADER
from engage.flows.segments.read import SegmentView, list_members, read_segment

ProgramId = Annotated[str, PathParameter()]
SegmentId = Annotated[str, PathParameter()]

_IDS_AT_ONCE: Final = 20_000
_NOTHING: Final[Mapping[str, str]] = {}


class SegmentPageController(Controller):
    path = "/segments"

    @get("/new", opt=needs(Permission.WRITE))
    async def new(self, request: HtmlRequest) -> Response[Any]:
        """The form of a new segment, in a program whose countries it offers."""
        visitor, program = visitor_of(request), asked(request, "program")
        if not program or not asked(request, "segment"):
            return page(request, visitor, "segments/new.html", program=program, problem="")
        visitor.check_program(program)
        if not is_segment_id(asked(request, "segment")):
            return page(request, visitor, "segments/new.html", status=422, program=program, problem="no_id")
        return _form(request, visitor, (program, asked(request, "segment")), {}, 0)

    @get("/{program_id:str}/{segment_id:str}", opt=needs(Permission.VIEW))
    async def segment(
        self, request: HtmlRequest, program_id: ProgramId, segment_id: SegmentId
    ) -> Response[Any]:
        visitor = visitor_of(request)
        segment = await _find(visitor, program_id, segment_id)
        return page(request, visitor, "segments/segment.html", segment=segment)

    @get("/{program_id:str}/{segment_id:str}/members.csv", opt=needs(Permission.READ_MEMBERS))
    async def members(self, request: HtmlRequest, program_id: ProgramId, segment_id: SegmentId) -> Stream:
        """The list as a file that can be uploaded again."""
        visitor = visitor_of(request)
        segment = await _find(visitor, program_id, segment_id)
        if segment.kind != "list":
            raise Refusal(Code.NOT_FOUND)
        headers = {**HEADERS, "content-disposition": f'attachment; filename="{segment_id}.csv"'}
        return Stream(_lines(visitor, segment), media_type="text/csv", headers=headers)

    @get("/{program_id:str}/{segment_id:str}/edit", opt=needs(Permission.WRITE))
    async def form(self, request: HtmlRequest, program_id: ProgramId, segment_id: SegmentId) -> Response[Any]:
        visitor = visitor_of(request)
        segment = await _find(visitor, program_id, segment_id)
        return _form(request, visitor, (program_id, segment_id), _document(segment), segment.version)

    @post("/{program_id:str}/{segment_id:str}/edit", status_code=303, opt=needs(Permission.WRITE))
    async def define(
        self, request: HtmlRequest, program_id: ProgramId, segment_id: SegmentId
    ) -> Response[Any]:
        """Define a segment that is new, or was of the version that the form shows."""
        visitor, form = visitor_of(request), await read_form(request)
        visitor.check_program(program_id)
        if not is_segment_id(segment_id):
            raise Refusal(Code.NOT_FOUND)
        key, shown = (program_id, segment_id), form.text("version")
        version = int(shown) if shown.isascii() and shown.isdecimal() else 0
        title = (await _find(visitor, *key)).title if version else None
        typed = typed_document(form, title, visitor.language)
        try:
            document = read_document(typed)
            return await do_once(
                request,
                visitor,
                lambda once: define_segment(
                    visitor.services,
                    key,
                    document,
                    operator=visitor.identity.name,
                    seen=version,
                    keyed=once,
                ),
                then=_path_after,
            )
        except DocumentError as error:
            return _form(request, visitor, key, typed, version, problems=mistakes_at(error.problems))
        except Refusal as refusal:
            if refusal.code is not Code.CHANGED_MEANWHILE:
                raise
            facts = refusal.facts
            return _form(request, visitor, key, typed, facts["current_version"], theirs=facts["difference"])


def _path_after(change: SegmentChange) -> str:
    return f"/console/segments/{change.program}/{change.id}?done=segments.defined"


async def _find(visitor: Visitor, program_id: str, segment_id: str) -> SegmentView:
    """Raises NotFoundException for a program of others; Refusal not_found; Unavailable."""
    visitor.check_program(program_id)
    return await read_segment(visitor.services, [program_id], segment_id)


async def _lines(visitor: Visitor, segment: SegmentView) -> AsyncIterator[bytes]:
    yield f"{HEADER}\n".encode()
    after = ""
    while ids := await list_members(
        visitor.services, (segment.program, segment.id), after=after, limit=_IDS_AT_ONCE
    ):
        yield "".join(f"{id_}\n" for id_ in ids).encode()
        after = ids[-1]


def _document(segment: SegmentView) -> dict[str, Any]:
    return {"title": segment.title or {}, "computed": segment.computed or {}}


def _form(
    request: HtmlRequest,
    visitor: Visitor,
    key: tuple[str, str],
    document: Mapping[str, Any],
    version: int,
    *,
    problems: Mapping[str, str] = _NOTHING,
    theirs: Any = (),
) -> Response[bytes]:
    published = visitor.services.programs.versions(key[0])
    return page(
        request,
        visitor,
        "segments/edit.html",
        status=422 if problems or theirs else 200,
        program=key[0],
        segment=key[1],
        title=document.get("title", {}).get(visitor.language, ""),
        conditions=document.get("computed", {}),
        version=version,
        problems=problems,
        theirs=theirs,
        countries=list(markets_of(published)),
        tiers=list(
            dict.fromkeys(
                level.id for each in published for group in each.tier_groups for level in group.levels
            )
        ),
    )
