"""The challenges of the member, with how far they are."""

from typing import Any

from litestar import Controller, Request, get
from msgspec import Struct

from engage.api.http.answers import Answer
from engage.api.http.callers import member_of, members_only
from engage.api.http.etags import tagged_answer
from engage.api.http.operation import MEMBER, contract
from engage.api.http.problems import language_of
from engage.flows.challenges.read import ChallengeView, read_challenges


class ChallengeList(Struct, frozen=True):
    """The running challenges first, those that end next before others. `next_cursor` is always null."""

    items: list[ChallengeView]
    next_cursor: None = None


class ChallengeController(Controller):
    path = "/v1/me/challenges"
    tags = ("Challenges",)
    security = (MEMBER,)

    @get(
        operation_id="listChallenges",
        summary="List challenges",
        response_description="The challenges of the member.",
        opt=contract(etag=True),
    )
    async def challenges(self, request: Request[Any, Any, Any]) -> Answer[ChallengeList]:
        """The challenges that are running, and those that ended within the last 30 days, each with its
        progress in the period.

        Progress counts what the member did and was not taken back since. Titles are in the language of
        `Accept-Language`. Send the ETag in `If-None-Match`: the answer is 304 while nothing has changed.
        """
        api, member = await member_of(request.scope)
        language = language_of(request.scope)
        with members_only():
            items = await read_challenges(
                api.services, member.program_id, member.member_id, language=language
            )
        headers = [(b"content-language", language.encode()), (b"vary", b"accept-language")]
        return tagged_answer(request.scope, ChallengeList(items), headers=headers)
