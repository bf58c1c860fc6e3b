"""The way to the feed for clients that cannot send headers with a websocket."""

from datetime import datetime
from typing import Any

from litestar import Controller, Request, post
from msgspec import Struct

from engage.api.answer import Answer, answer
from engage.api.bodies import Nothing, read_nothing
from engage.api.contract import MEMBER, contract
from engage.api.mobile.callers import member_of, members_only, once_for_member
from engage.flows.reads.feed_ticket import issue_ticket


class Ticket(Struct, frozen=True):
    """Good once, until `expires_at` by the machine's clock. Send it as the feed's first message."""

    url: str
    ticket: str
    expires_at: datetime


class FeedController(Controller):
    path = "/v1/feed"
    tags = ("Feed",)
    security = (MEMBER,)
    middleware = (once_for_member,)

    @post(
        "/tickets",
        status_code=201,
        operation_id="createFeedTicket",
        summary="A ticket for the feed",
        response_description="Connect to `url` and send the ticket within 30 seconds.",
        opt=contract(takes=Nothing, optional=True, once=True),
    )
    async def create(self, request: Request[Any, Any, Any]) -> Answer[Ticket]:
        """For browsers, which cannot send a header with a websocket. Apps send their token instead."""
        api, who = member_of(request.scope)
        await read_nothing(request)
        with members_only():
            ticket, expires_at = await issue_ticket(api.services, who.program_id, who.member_id)
        return answer(Ticket(api.services.settings.feed_url, ticket, expires_at), 201)
