"""The list of segments, and the upload of a list of members."""

from typing import Any, Final

import msgspec
from litestar import Controller, get, post
from litestar.response import Response

from engage.console.context import HtmlRequest, Visitor, asked, visitor_of
from engage.console.forms import Form, do_once, read_form
from engage.console.paging import PAGE, shown_page
from engage.console.permissions import needs
from engage.console.rendering import page
from engage.decoding.csv_text import InvalidFile
from engage.domain.definitions.definition import DefinitionId
from engage.domain.operators.roles import Permission
from engage.flows.segments.id_list import IDS_PER_REQUEST, IdList
from engage.flows.segments.read import SegmentView, list_segments
from engage.flows.segments.replace_list import preview_list, replace_list_by_request

_CHUNK: Final = 64 * 1024

# Larger lists are for the API and the command line.
LIST_BYTES: Final = 16 * 1024 * 1024


class SegmentController(Controller):
    path = "/segments"

    @get(opt=needs(Permission.VIEW))
    async def segments(self, request: HtmlRequest) -> Response[Any]:
        visitor = visitor_of(request)
        program, _, name = asked(request, "after").partition("/")
        found = await list_segments(visitor.services, visitor.programs, after=(program, name), limit=PAGE + 1)
        return _list_page(request, visitor, found)

    @post(status_code=303, opt=needs(Permission.WRITE), request_max_body_size=LIST_BYTES)
    async def upload(self, request: HtmlRequest) -> Response[Any]:
        """Replace a list by a file of ids, or check what that would change; the first answer says which
        lines have no member.
        """
        visitor, form = visitor_of(request), await read_form(request)
        program, name, problems = form.text("program"), form.text("segment"), {}
        if program not in visitor.programs:
            problems["program"] = "no_program"
        if not is_segment_id(name):
            problems["segment"] = "no_id"
        with IdList(most=IDS_PER_REQUEST) as ids:
            unreadable = await _read(form, ids)
            if unreadable:
                problems["file"] = unreadable
            if problems:
                found = await list_segments(
                    visitor.services, visitor.programs, after=("", ""), limit=PAGE + 1
                )
                return _list_page(request, visitor, found, form, problems)
            if form.text("check"):
                preview = await preview_list(visitor.services, (program, name), ids)
                return page(request, visitor, "segments/uploaded.html", change=preview, is_preview=True)
            return await do_once(
                request,
                visitor,
                lambda once: replace_list_by_request(
                    visitor.services, (program, name), ids, operator=visitor.identity.name, keyed=once
                ),
                then=lambda _: "/console/segments?done=segments.uploaded",
                show=lambda change: page(
                    request, visitor, "segments/uploaded.html", change=change, is_preview=False
                ),
            )


async def _read(form: Form, ids: IdList) -> str:
    """Read the file of a form. Returns what is wrong with it as a whole, or nothing."""
    file = form.file("file")
    if file is None or not file.filename:
        return "no_file"
    try:
        while chunk := await file.read(_CHUNK):
            ids.add(chunk)
        ids.close()
    except InvalidFile as error:
        return str(error)
    return ""


def is_segment_id(name: str) -> bool:
    try:
        msgspec.convert(name, DefinitionId)
    except msgspec.ValidationError:
        return False
    return True


def _list_page(
    request: HtmlRequest,
    visitor: Visitor,
    found: list[SegmentView],
    form: Form | None = None,
    problems: dict[str, str] | None = None,
) -> Response[bytes]:
    after = "" if form else asked(request, "after")
    typed = {name: form.text(name) if form else asked(request, name) for name in ("program", "segment")}
    return page(
        request,
        visitor,
        "segments/list.html",
        status=422 if problems else 200,
        segments=shown_page(found, after, lambda last: f"{last.program}/{last.id}"),
        programs=visitor.programs,
        typed=typed,
        problems=problems or {},
        most=IDS_PER_REQUEST,
    )
