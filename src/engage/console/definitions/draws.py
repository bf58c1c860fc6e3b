"""Draws as they go: state, entries, winners, certificate."""

from collections.abc import Sequence
from typing import Annotated

from litestar import Controller, get
from litestar.params import PathParameter
from litestar.response import Response
from msgspec import Struct

from engage.console.context import HtmlRequest, Visitor, asked, visitor_of
from engage.console.paging import PAGE, Shown, read_number, shown_page
from engage.console.permissions import needs
from engage.console.rendering import HEADERS
from engage.domain.operators.roles import Permission
from engage.flows.draws.reads import (
    BegunDraw,
    find_begun,
    list_begun,
    list_entries,
    read_certificate_of_draw,
)
from engage.runtime.services import Services
from engage.store.draws.draws import MemberEntry

ProgramId = Annotated[str, PathParameter()]
DrawId = Annotated[str, PathParameter()]


class ShownDraw(Struct, frozen=True):
    """A draw that somebody has entered, and a page of its entries, for whoever may see members."""

    begun: BegunDraw
    entries: Shown[MemberEntry]
    winners_only: bool


class DrawStateController(Controller):
    path = "/draws"

    @get("/{program_id:str}/{draw_id:str}/certificate", opt=needs(Permission.VIEW))
    async def certificate(
        self, request: HtmlRequest, program_id: ProgramId, draw_id: DrawId
    ) -> Response[bytes]:
        visitor = visitor_of(request)
        visitor.check_program(program_id)
        body = await read_certificate_of_draw(visitor.services, program_id, draw_id)
        headers = {**HEADERS, "content-disposition": f'attachment; filename="{draw_id}.certificate.json"'}
        return Response(body, media_type="application/json", headers=headers)


async def draws_of(services: Services, programs: Sequence[str]) -> dict[tuple[str, str], BegunDraw]:
    """The draws that somebody has entered, by program and id."""
    return {each.row.key: each for each in await list_begun(services, programs)}


async def shown_draw(
    request: HtmlRequest, visitor: Visitor, program_id: str, draw_id: str
) -> ShownDraw | None:
    """None where nobody has entered."""
    begun = await find_begun(visitor.services, program_id, draw_id)
    if begun is None:
        return None
    winners_only, before = asked(request, "winners") == "yes", asked(request, "before")
    entries: list[MemberEntry] = []
    if visitor.may(Permission.READ_MEMBERS):
        entries = await list_entries(
            visitor.services,
            [program_id],
            draw_id,
            winners=winners_only,
            before=read_number(before),
            limit=PAGE + 1,
        )
    return ShownDraw(begun, shown_page(entries, before, lambda last: last.number), winners_only)
