"""The review queue of referrals, and the decisions about them."""

from typing import Annotated, Any, Final, Literal, get_args
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
from engage.domain.referrals.referral import OPEN, Reason, State
from engage.flows.referrals.queue import ReferralView, decide_referral, read_one, read_queue

ReferralId = Annotated[UUID, PathParameter()]

# Those that wait for a decision come first.
STATES: Final[tuple[State, ...]] = ("flagged", "pending", "approved", "rejected")

_LONGEST_REASON: Final = 500


class ReferralController(Controller):
    path = "/referrals"

    @get(opt=needs(Permission.READ_MEMBERS))
    async def referrals(self, request: HtmlRequest) -> Response[Any]:
        visitor, before, program = visitor_of(request), asked(request, "before"), asked(request, "program")
        state = next((known for known in STATES if known == asked(request, "state")), STATES[0])
        found = await read_queue(
            visitor.services,
            [known for known in visitor.programs if program in ("", known)],
            state=state,
            before=read_id(before),
            limit=PAGE + 1,
        )
        return page(
            request,
            visitor,
            "referrals/list.html",
            referrals=shown_page(found, before, lambda last: last.id),
            states=STATES,
            chosen={"state": state, "program": program},
            programs=visitor.programs,
        )

    @get("/{referral_id:uuid}", opt=needs(Permission.READ_MEMBERS))
    async def referral(self, request: HtmlRequest, referral_id: ReferralId) -> Response[Any]:
        visitor = visitor_of(request)
        return _page(request, visitor, await _find(visitor, referral_id))

    @post("/{referral_id:uuid}/approve", status_code=303, opt=needs(Permission.HELP_MEMBERS))
    async def approve(self, request: HtmlRequest, referral_id: ReferralId) -> Response[Any]:
        return await _decide(request, referral_id, "approve")

    @post("/{referral_id:uuid}/reject", status_code=303, opt=needs(Permission.HELP_MEMBERS))
    async def reject(self, request: HtmlRequest, referral_id: ReferralId) -> Response[Any]:
        return await _decide(request, referral_id, "reject")


async def _decide(
    request: HtmlRequest, referral_id: UUID, decision: Literal["approve", "reject"]
) -> Response[Any]:
    """A rejection needs a reason, an approval may have one."""
    visitor, form = visitor_of(request), await read_form(request)
    referral, reason = await _find(visitor, referral_id), form.text("reason")
    if len(reason) > _LONGEST_REASON or (decision == "reject" and not reason):
        return _page(request, visitor, referral, reason=reason, problem="reason", status=422)
    return await do_once(
        request,
        visitor,
        lambda once: decide_referral(
            visitor.services,
            referral_id,
            decision,
            operator=visitor.identity,
            reason=reason or None,
            keyed=once,
        ),
        then=lambda decided: f"/console/referrals/{referral_id}?done=referrals.{decided.state}",
    )


def _page(
    request: HtmlRequest,
    visitor: Visitor,
    referral: ReferralView,
    *,
    reason: str = "",
    problem: str = "",
    status: int = 200,
) -> Response[bytes]:
    ended_by_itself = referral.decided_by is None and referral.reason in get_args(Reason)
    return page(
        request,
        visitor,
        "referrals/referral.html",
        status=status,
        referral=referral,
        is_open=referral.state in OPEN,
        ended_by_itself=ended_by_itself,
        advocate_path=path_of(referral.program, referral.advocate_id),
        friend_path=path_of(referral.program, referral.friend_id),
        reason=reason,
        problem=problem,
        longest_reason=_LONGEST_REASON,
    )


async def _find(visitor: Visitor, id_: UUID) -> ReferralView:
    """Raises NotFoundException for members of other operators' programs; Refusal not_found; Unavailable."""
    referral = await read_one(visitor.services, id_)
    visitor.check_program(referral.program)
    return referral
