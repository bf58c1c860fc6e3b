"""The corrections that wait for a second operator, and the decisions about them."""

from typing import Annotated, Any, Final, get_args
from uuid import UUID

from litestar import Controller, get, post
from litestar.params import PathParameter
from litestar.response import Response

from engage.console.context import HtmlRequest, Visitor, asked, visitor_of
from engage.console.forms import do_once, read_form
from engage.console.members.subject import path_of
from engage.console.paging import PAGE, read_id, shown_page
from engage.console.permissions import needs
from engage.console.rendering import page
from engage.domain.members.corrections import State
from engage.domain.operators.roles import Permission
from engage.flows.members.corrections import (
    approve_correction,
    list_corrections,
    read_correction,
    reject_correction,
)
from engage.store.members.corrections import Correction

CorrectionId = Annotated[UUID, PathParameter()]
STATES: Final[tuple[State, ...]] = get_args(State)

_LONGEST_NOTE: Final = 500


class CorrectionController(Controller):
    path = "/corrections"

    @get(opt=needs(Permission.READ_MEMBERS))
    async def corrections(self, request: HtmlRequest) -> Response[Any]:
        visitor, before = visitor_of(request), asked(request, "before")
        state = next((known for known in STATES if known == asked(request, "state")), STATES[0])
        found = await list_corrections(
            visitor.services, visitor.programs, state, before=read_id(before), limit=PAGE + 1
        )
        return page(
            request,
            visitor,
            "corrections/list.html",
            corrections=shown_page(found, before, lambda last: last.id),
            states=STATES,
            chosen=state,
        )

    @get("/{correction_id:uuid}", opt=needs(Permission.READ_MEMBERS))
    async def correction(self, request: HtmlRequest, correction_id: CorrectionId) -> Response[Any]:
        visitor = visitor_of(request)
        return _page(request, visitor, await _find(visitor, correction_id))

    @post("/{correction_id:uuid}/approve", status_code=303, opt=needs(Permission.APPROVE))
    async def approve(self, request: HtmlRequest, correction_id: CorrectionId) -> Response[Any]:
        visitor = visitor_of(request)
        await _find(visitor, correction_id)
        return await do_once(
            request,
            visitor,
            lambda once: approve_correction(
                visitor.services, correction_id, operator=visitor.identity, keyed=once
            ),
            then=lambda _: f"/console/corrections/{correction_id}?done=corrections.approved",
        )

    @post("/{correction_id:uuid}/reject", status_code=303, opt=needs(Permission.APPROVE))
    async def reject(self, request: HtmlRequest, correction_id: CorrectionId) -> Response[Any]:
        visitor, form = visitor_of(request), await read_form(request)
        correction, note = await _find(visitor, correction_id), form.text("note")
        if not 0 < len(note) <= _LONGEST_NOTE:
            return _page(request, visitor, correction, note=note, problem="note", status=422)
        return await do_once(
            request,
            visitor,
            lambda once: reject_correction(
                visitor.services, correction_id, note=note, operator=visitor.identity, keyed=once
            ),
            then=lambda _: f"/console/corrections/{correction_id}?done=corrections.rejected",
        )


def _page(
    request: HtmlRequest,
    visitor: Visitor,
    correction: Correction,
    *,
    note: str = "",
    problem: str = "",
    status: int = 200,
) -> Response[bytes]:
    return page(
        request,
        visitor,
        "corrections/correction.html",
        status=status,
        correction=correction,
        is_own=correction.requested_by == visitor.identity.id,
        member_path=path_of(*correction.key),
        note=note,
        problem=problem,
        longest_note=_LONGEST_NOTE,
    )


async def _find(visitor: Visitor, id_: UUID) -> Correction:
    """Raises NotFoundException for members of other operators' programs; Refusal not_found; Unavailable."""
    correction = await read_correction(visitor.services, id_)
    visitor.check_program(correction.program_id)
    return correction
