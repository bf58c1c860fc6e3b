"""The member whom a page is about."""

from typing import Any, Final
from urllib.parse import quote

from litestar.response import Response
from msgspec import Struct

from engage.console.context import HtmlRequest, Visitor, visitor_of
from engage.console.rendering import page
from engage.flows.reads.member_overview import MemberOverview, read_member_overview
from engage.runtime.services import Services

ZONE: Final = "UTC"


class Subject(Struct, frozen=True):
    """A member of a program that the visitor works on."""

    visitor: Visitor
    program: str
    member_id: str

    @property
    def key(self) -> tuple[Services, str, str]:
        """The first arguments of flows about a member."""
        return self.visitor.services, self.program, self.member_id

    @property
    def path(self) -> str:
        return path_of(self.program, self.member_id)


def path_of(program: str, member_id: str) -> str:
    """The page of a member."""
    return f"/console/members/{quote(program, safe='')}/{quote(member_id, safe='')}"


def subject_of(request: HtmlRequest) -> Subject:
    """The member of a request's path. Raises NotFoundException for other operators' programs: a member of
    them is as unknown as one who does not exist.
    """
    visitor, program = visitor_of(request), request.path_params["program"]
    visitor.check_program(program)
    return Subject(visitor, program, request.path_params["member_id"])


async def overview_of(subject: Subject) -> MemberOverview:
    """Read the member of a page. Raises Refusal unknown_member, member_erased; Unavailable."""
    return await read_member_overview(*subject.key, language=subject.visitor.language)


def member_page(
    request: HtmlRequest,
    subject: Subject,
    overview: MemberOverview,
    template: str,
    *,
    status: int = 200,
    **values: Any,
) -> Response[bytes]:
    """Render a page with the member at its top."""
    home = overview.home
    return page(
        request,
        subject.visitor,
        template,
        status=status,
        member=overview.profile,
        home=home,
        holds=overview.holds,
        corrections=overview.corrections,
        zone=(home.member.zone if home else None) or ZONE,
        own_path=subject.path,
        path_of=path_of,
        **values,
    )
