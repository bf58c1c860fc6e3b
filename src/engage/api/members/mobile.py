"""The home screen of the app."""

from typing import Any, Final

from litestar import Controller, Request, get
from litestar.types import Scope

from engage.api.http.answers import Answer
from engage.api.http.batching import BatchedFlow
from engage.api.http.callers import member_of, members_only
from engage.api.http.direct import answered_directly
from engage.api.http.etags import tagged_answer
from engage.api.http.operation import MEMBER, contract
from engage.api.http.problems import language_of
from engage.flows.reads.home import Home, HomeRequest, read_homes

READ: Final = BatchedFlow(read_homes, max_size=64, in_flight=2)


async def _home(scope: Scope) -> Answer[Home]:
    api, member = await member_of(scope)
    language = language_of(scope)
    with members_only():
        home = await api.batchers.submit(READ, HomeRequest(member.program_id, member.member_id, language))
    return tagged_answer(
        scope, home, headers=[(b"content-language", language.encode()), (b"vary", b"accept-language")]
    )


class HomeController(Controller):
    path = "/v1/me"
    tags = ("Me",)
    security = (MEMBER,)

    @get(
        operation_id="getHome",
        summary="Get the home screen",
        response_description="The member as stored now.",
        opt=contract(etag=True) | answered_directly(_home),
    )
    async def home(self, request: Request[Any, Any, Any]) -> Answer[Home]:
        """The member, the balance, points that expire, the streak, the remaining credits of each limit, and
        the levels, with titles in the language of `Accept-Language`.

        Send the ETag in `If-None-Match`: the answer is 304 while nothing has changed.
        """
        return await _home(request.scope)
