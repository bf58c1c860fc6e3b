"""The home screen of the app."""

import hashlib
from typing import Any

from litestar import Controller, Request, get

from engage.api.contract.operation import MEMBER, contract
from engage.api.http.answers import JSON, Answer, encode
from engage.api.http.callers import member_of, members_only
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
        """The member, the balance, points that expire, the streak, and the remaining credits of each limit.

        Send the ETag in `If-None-Match`: the answer is 304 while nothing has changed.
        """
        api, member = member_of(request.scope)
        with members_only():
            body = encode(await read_home(api.services, member.program_id, member.member_id))
        tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
        headers = [(b"etag", tag.encode()), (b"cache-control", b"private, no-cache"), *JSON]
        if _matches(request.headers.getall("if-none-match", []), tag):
            return Answer(b"", headers, 304)
        return Answer(body, headers, 200)


def _matches(if_none_match: list[str], tag: str) -> bool:
    """Compare weakly: proxies mark what they compress with W/."""
    tags = [item.strip().removeprefix("W/") for header in if_none_match for item in header.split(",")]
    return tag in tags or "*" in tags
