"""The review queue of suspicions, and the decisions about them."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
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
from engage.domain.operators.roles import Permission
from engage.flows.protection.decide import decide, undo
from engage.flows.protection.queue import (
    SHOWN,
    SuspicionDetail,
    list_queue,
    read_detail,
    read_program,
    read_requester,
)
from engage.store.protection.decisions import Decision
from engage.store.protection.queue import HeldRow, State

SuspicionId = Annotated[UUID, PathParameter()]

# Those that wait for a decision come first.
STATES: Final[tuple[State, ...]] = get_args(State)

_LONGEST_REASON: Final = 500

Decide = Callable[..., Awaitable[Decision]]


class SuspicionController(Controller):
    path = "/suspicions"

    @get(opt=needs(Permission.READ_MEMBERS))
    async def suspicions(self, request: HtmlRequest) -> Response[Any]:
        visitor, before, program = visitor_of(request), asked(request, "before"), asked(request, "program")
        state = next((known for known in STATES if known == asked(request, "state")), STATES[0])
        source = asked(request, "source")
        found = await list_queue(
            visitor.services,
            [known for known in visitor.programs if program in ("", known)],
            # Of one device or network, all that there is.
            state=None if source else state,
            source=source if _is_hash(source) else None,
            before=read_id(before),
            limit=PAGE + 1,
        )
        return page(
            request,
            visitor,
            "protection/list.html",
            suspicions=shown_page(found, before, lambda last: last.id),
            states=STATES,
            chosen={"state": state, "program": program, "source": source},
            programs=visitor.programs,
        )

    @get("/{suspicion_id:uuid}", opt=needs(Permission.READ_MEMBERS))
    async def suspicion(self, request: HtmlRequest, suspicion_id: SuspicionId) -> Response[Any]:
        visitor = visitor_of(request)
        visitor.check_program(await read_program(visitor.services, suspicion_id))
        return await _page(request, visitor, suspicion_id)

    @post("/{suspicion_id:uuid}/approve", status_code=303, opt=needs(Permission.APPROVE))
    async def approve(self, request: HtmlRequest, suspicion_id: SuspicionId) -> Response[Any]:
        return await _decide(
            request, suspicion_id, "approve", partial(decide, kind="rejected", part="second")
        )

    @post("/{suspicion_id:uuid}/decline", status_code=303, opt=needs(Permission.APPROVE))
    async def decline(self, request: HtmlRequest, suspicion_id: SuspicionId) -> Response[Any]:
        return await _decide(request, suspicion_id, "decline", partial(undo, part="second"))

    @post("/{suspicion_id:uuid}/release", status_code=303, opt=needs(Permission.HELP_MEMBERS))
    async def release(self, request: HtmlRequest, suspicion_id: SuspicionId) -> Response[Any]:
        return await _decide(request, suspicion_id, "release", partial(decide, kind="released"))

    @post("/{suspicion_id:uuid}/reject", status_code=303, opt=needs(Permission.HELP_MEMBERS))
    async def reject(self, request: HtmlRequest, suspicion_id: SuspicionId) -> Response[Any]:
        return await _decide(request, suspicion_id, "reject", partial(decide, kind="rejected", part="first"))

    @post("/{suspicion_id:uuid}/undo", status_code=303, opt=needs(Permission.HELP_MEMBERS))
    async def undo(self, request: HtmlRequest, suspicion_id: SuspicionId) -> Response[Any]:
        return await _decide(request, suspicion_id, "undo", undo)


async def _decide(request: HtmlRequest, suspicion_id: UUID, action: str, decision: Decide) -> Response[Any]:
    visitor, form = visitor_of(request), await read_form(request)
    visitor.check_program(await read_program(visitor.services, suspicion_id))
    reason = form.text("reason")
    if not 0 < len(reason) <= _LONGEST_REASON or not reason.isprintable():
        return await _page(request, visitor, suspicion_id, reason=reason, problem=action, status=422)
    return await do_once(
        request,
        visitor,
        lambda once: decision(
            visitor.services, suspicion_id, operator=visitor.identity, reason=reason, keyed=once
        ),
        then=lambda made: f"/console/suspicions/{suspicion_id}?done=suspicions.{_done(made)}",
    )


def _done(decision: Decision) -> str:
    return "undone" if decision.undone_at is not None else decision.kind


async def _page(
    request: HtmlRequest,
    visitor: Visitor,
    suspicion_id: UUID,
    *,
    reason: str = "",
    problem: str = "",
    status: int = 200,
) -> Response[bytes]:
    detail = await read_detail(visitor.services, suspicion_id)
    suspicion, requester = detail.suspicion, await read_requester(visitor.services, suspicion_id)
    return page(
        request,
        visitor,
        "protection/suspicion.html",
        status=status,
        suspicion=suspicion,
        members=_by_member(detail.held),
        counted=detail.counted,
        decisions=detail.decisions,
        path_of=partial(path_of, suspicion.program),
        actions=_actions(visitor, detail, requester),
        is_open=any(held.state == "open" for held in detail.held),
        waits=requester is not None,
        is_own=requester == visitor.identity.id,
        shown=SHOWN,
        reason=reason,
        problem=problem,
        longest_reason=_LONGEST_REASON,
    )


def _by_member(held: list[HeldRow]) -> Mapping[str, list[HeldRow]]:
    members: dict[str, list[HeldRow]] = {}
    for each in held:
        members.setdefault(each.member_id, []).append(each)
    return members


def _is_hash(source: str) -> bool:
    return bool(source) and len(source) % 2 == 0 and all(digit in "0123456789abcdef" for digit in source)


def _actions(visitor: Visitor, detail: SuspicionDetail, requester: str | None) -> list[str]:
    """The decisions that the visitor can make now."""
    helps = visitor.may(Permission.HELP_MEMBERS)
    is_open = any(held.state == "open" for held in detail.held)
    is_second = visitor.may(Permission.APPROVE) and requester not in (None, visitor.identity.id)
    stands = any(decision.undone_at is None for decision in detail.decisions)
    possible = {
        "approve": is_second and is_open,
        "decline": is_second,
        "release": helps and is_open,
        "reject": helps and is_open and requester is None,
        "undo": helps and stands and not is_second,
    }
    return [action for action, is_possible in possible.items() if is_possible]
