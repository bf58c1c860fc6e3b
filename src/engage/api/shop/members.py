"""The shop registers members."""

from typing import Any

import msgspec
from litestar import Controller, Request, post

from engage.api.answer import Answer, answer
from engage.api.bodies import read_json
from engage.api.contract import SHOP, contract
from engage.api.shop.callers import once_for_shop, shop_of
from engage.flows.register_member import Joined, Joining, register_member

JOINING_REFUSALS = (
    "invalid_request",
    "unknown_program",
    "member_exists",
    "person_has_account",
    "card_taken",
    "not_eligible",
)

_joining = msgspec.json.Decoder(Joining)


class MemberController(Controller):
    path = "/v1/shop/members"
    tags = ("Shop",)
    security = (SHOP,)
    middleware = (once_for_shop,)

    @post(
        status_code=201,
        operation_id="registerMember",
        summary="Register a member",
        response_description="They are a member, and what registering earned is pending.",
        opt=contract("unauthorized", "forbidden", *JOINING_REFUSALS, takes=Joining, once=True),
    )
    async def register(self, request: Request[Any, Any, Any]) -> Answer[Joined]:
        """A person or company joins a program, if its rules let them."""
        api = await shop_of(request.scope)
        joining = await read_json(request, _joining)
        return answer(await register_member(api.parts, joining), 201)
