"""The home screen of the app."""

from typing import Any

from litestar import Controller, Request, get

from engage.api.http.answers import Answer
from engage.api.http.callers import member_of, members_only
from engage.api.http.etags import tagged_answer
from engage.api.http.operation import MEMBER, contract
from engage.api.http.problems import language_of
from engage.flows.reads.home import Home, read_home


class HomeController(Controller):
    path = "/v1/me"
    tags = ("Me",)
    security = (MEMBER,)

    @get(
        operation_id="getHome",
        summary="Get the home screen",
        response_description="The member as stored now.",
        opt=contract(etag=True),
    )
    async def home(self, request: Request[Any, Any, Any]) -> Answer[Home]:
        """The member, the balance, points that expire, the streak, the remaining credits of each limit, and
        the levels, with titles in the language of `Accept-Language`.

        Send the ETag in `If-None-Match`: the answer is 304 while nothing has changed.
        """
        api, member = member_of(request.scope)
        language = language_of(request.scope)
        with members_only():
            home = await read_home(api.services, member.program_id, member.member_id, language=language)
        headers = [(b"content-language", language.encode()), (b"vary", b"accept-language")]
        return tagged_answer(request, home, headers=headers)
