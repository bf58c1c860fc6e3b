"""Changes of a member: correct the points, merge into another member, erase."""

from typing import Any, Final

import msgspec
from litestar import Controller, get, post
from litestar.response import Response

from engage.console.context import HtmlRequest, asked
from engage.console.forms import do_once, read_form
from engage.console.members.subject import Subject, member_page, overview_of, path_of, subject_of
from engage.console.permissions import needs
from engage.domain.members.corrections import LARGEST, MOST_ALONE
from engage.domain.operators.roles import Permission
from engage.domain.refusals import Code, Refusal
from engage.flows.members.adjust import Reason
from engage.flows.members.corrections import correct
from engage.flows.members.erase import erase_member
from engage.flows.members.merge import merge_members
from engage.flows.reads.member_overview import MemberOverview, read_member_overview

# The longest reason, as in the API.
_REASON: Final = 500


class MemberChangeController(Controller):
    path = "/members/{program:str}/{member_id:str}"

    @get("/correct", opt=needs(Permission.HELP_MEMBERS))
    async def correction(self, request: HtmlRequest) -> Response[Any]:
        return await _correction_page(request, subject_of(request))

    @post("/correct", status_code=303, opt=needs(Permission.HELP_MEMBERS))
    async def correct(self, request: HtmlRequest) -> Response[Any]:
        """Points that one operator may not give or take alone are requested of another one."""
        subject, form = subject_of(request), await read_form(request)
        typed, reason = form.text("points"), form.text("reason")
        points = _points(typed)
        problems = {} if points is not None else {"points": "points"}
        if not _is_reason(reason):
            problems["reason"] = "reason"
        if points is None or problems:
            return await _correction_page(request, subject, typed, reason, problems, status=422)
        visitor = subject.visitor
        try:
            return await do_once(
                request,
                visitor,
                lambda once: correct(
                    *subject.key,
                    points=points,
                    reason=reason,
                    operator=visitor.identity,
                    keyed=once,
                ),
                then=lambda made: (
                    f"{subject.path}?done=members.{'corrected' if made.state == 'made' else 'requested'}"
                ),
            )
        except Refusal as refusal:
            if refusal.code != Code.INSUFFICIENT_POINTS:
                raise
            return await _correction_page(
                request, subject, typed, reason, {"points": "too_few"}, status=refusal.status
            )

    @get("/merge", opt=needs(Permission.HELP_MEMBERS))
    async def merger(self, request: HtmlRequest) -> Response[Any]:
        """Ask for the other member first, and then show both."""
        return await _merger_page(request, subject_of(request), asked(request, "into"))

    @post("/merge", status_code=303, opt=needs(Permission.HELP_MEMBERS))
    async def merge(self, request: HtmlRequest) -> Response[Any]:
        subject, form = subject_of(request), await read_form(request)
        into, reason = form.text("into"), form.text("reason")
        if not _is_reason(reason):
            return await _merger_page(request, subject, into, reason, problem="reason", status=422)
        if await _other(subject, into) is None:
            return await _merger_page(request, subject, into, reason, problem="nobody", status=422)
        visitor = subject.visitor
        return await do_once(
            request,
            visitor,
            lambda once: merge_members(
                *subject.key,
                into=into,
                reason=reason,
                operator=visitor.identity.id,
                keyed=once,
            ),
            then=lambda merged: f"{path_of(merged.program, merged.member_id)}?done=members.merged",
        )

    @get("/erase", opt=needs(Permission.HELP_MEMBERS))
    async def erasure(self, request: HtmlRequest) -> Response[Any]:
        return await _erasure_page(request, subject_of(request))

    @post("/erase", status_code=303, opt=needs(Permission.HELP_MEMBERS))
    async def erase(self, request: HtmlRequest) -> Response[Any]:
        """Whoever erases a member types the id: a wrong click erases nobody."""
        subject, form = subject_of(request), await read_form(request)
        typed, visitor = form.text("typed"), subject.visitor
        if typed != subject.member_id:
            return await _erasure_page(request, subject, typed, problem="typed", status=422)
        return await do_once(
            request,
            visitor,
            lambda once: erase_member(
                *subject.key,
                operator=visitor.identity.id,
                keyed=once,
            ),
            then=lambda _: "/console/members?done=members.erased",
        )


def _points(typed: str) -> int | None:
    """The points of a correction, not 0; None for what is none. A minus may be that of a typesetter."""
    digits = typed.replace("\N{MINUS SIGN}", "-").replace(" ", "")
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-") if len(digits) <= len(str(LARGEST)) + 1 else ""
    points = sign * int(digits) if digits.isascii() and digits.isdecimal() else 0
    return points if 0 < abs(points) <= LARGEST else None


def _is_reason(reason: str) -> bool:
    try:
        msgspec.convert(reason, Reason)
    except msgspec.ValidationError:
        return False
    return True


async def _correction_page(
    request: HtmlRequest,
    subject: Subject,
    points: str = "",
    reason: str = "",
    problems: dict[str, str] | None = None,
    *,
    status: int = 200,
) -> Response[bytes]:
    return member_page(
        request,
        subject,
        await overview_of(subject),
        "members/correct.html",
        status=status,
        points=points,
        reason=reason,
        problems=problems or {},
        most_alone=MOST_ALONE,
        largest=LARGEST,
        longest_reason=_REASON,
    )


async def _merger_page(
    request: HtmlRequest,
    subject: Subject,
    into: str,
    reason: str = "",
    *,
    problem: str = "",
    status: int = 200,
) -> Response[bytes]:
    overview, other = await overview_of(subject), None
    if into:
        other = await _other(subject, into)
        problem = problem or ("" if other is not None else "nobody")
        status = status if other is not None else 422
    return member_page(
        request,
        subject,
        overview,
        "members/merge.html",
        status=status,
        into=into,
        other=other,
        reason=reason,
        problem=problem,
        longest_reason=_REASON,
    )


async def _other(subject: Subject, into: str) -> MemberOverview | None:
    """The survivor of a merger, with whom this member can be merged; None where there is no such member."""
    visitor = subject.visitor
    try:
        found = await read_member_overview(visitor.services, subject.program, into, language=visitor.language)
    except Refusal as refusal:
        if refusal.code not in (Code.UNKNOWN_MEMBER, Code.MEMBER_ERASED):
            raise
        return None
    return None if found.home is None or into == subject.member_id else found


async def _erasure_page(
    request: HtmlRequest, subject: Subject, typed: str = "", *, problem: str = "", status: int = 200
) -> Response[bytes]:
    return member_page(
        request,
        subject,
        await overview_of(subject),
        "members/erase.html",
        status=status,
        typed=typed,
        problem=problem,
    )
