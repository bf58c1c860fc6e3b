"""Tickets for clients that cannot send headers with a websocket."""

from datetime import datetime
from typing import Any

from litestar import Controller, Request, post
from msgspec import Struct

from engage.api.http.answers import Answer, answer
from engage.api.http.bodies import EmptyRequest, read_empty
from engage.api.http.callers import member_idempotency, member_of, members_only
from engage.api.http.operation import MEMBER, Repeat, contract
from engage.flows.reads.feed_ticket import issue_ticket


class FeedTicket(Struct, frozen=True):
    """Valid once, until `expires_at` by the machine's clock. Send it as the first message to the feed."""

    url: str
    ticket: str
    expires_at: datetime


class FeedController(Controller):
    path = "/v1/feed"
    tags = ("Feed",)
    security = (MEMBER,)
    middleware = (member_idempotency(),)

    @post(
        "/tickets",
        status_code=201,
        operation_id="createFeedTicket",
        summary="Create a ticket for the feed",
        response_description="Connect to `url` and send the ticket within 30 seconds.",
        opt=contract(body=EmptyRequest, body_optional=True, repeat=Repeat.ANSWERED_ANEW),
    )
    async def create(self, request: Request[Any, Any, Any]) -> Answer[FeedTicket]:
        """For browsers, which cannot send a header with a websocket. Apps send their token instead."""
        api, member = await member_of(request.scope)
        await read_empty(request)
        with members_only():
            ticket, expires_at = await issue_ticket(api.services, member)
        return answer(FeedTicket(api.services.settings.feed_url, ticket, expires_at), 201)
