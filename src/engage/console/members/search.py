"""Find a member by id, card or phone."""

from typing import Any

from litestar import Controller, get
from litestar.response import Redirect, Response

from engage.console.context import HtmlRequest, asked, visitor_of
from engage.console.members.subject import path_of
from engage.console.permissions import needs
from engage.console.rendering import page
from engage.domain.operators.roles import Permission
from engage.flows.members.search import FOUND_AT_MOST, FoundMember, search_members


class MemberSearchController(Controller):
    path = "/members"

    @get(opt=needs(Permission.READ_MEMBERS))
    async def search(self, request: HtmlRequest) -> Response[Any]:
        """The only member found is opened."""
        visitor, wanted = visitor_of(request), asked(request, "search")
        found = await search_members(visitor.services, wanted, visitor.programs) if wanted else []
        if len(found) == 1 and found[0].state != "erased":
            return Redirect(_path(found[0]), status_code=303)
        return page(
            request,
            visitor,
            "members/search.html",
            wanted=wanted,
            found=found,
            most=FOUND_AT_MOST,
            path_of=path_of,
        )


def _path(member: FoundMember) -> str:
    return path_of(member.program, member.member_id)
