"""The shop registers members, and tells what has changed about them."""

from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, patch, post
from litestar.params import PathParameter

from engage.api.answer import Answer, answer
from engage.api.bodies import read_json
from engage.api.contract import SHOP, contract
from engage.api.shop.callers import once_for_shop, shop_of
from engage.flows.change_member import Changed, Changing, change_member
from engage.flows.register_member import Joined, Joining, register_member

JOINING_REFUSALS = (
    "invalid_request",
    "unknown_program",
    "invalid_phone",
    "member_exists",
    "member_erased",
    "person_has_account",
    "card_taken",
    "not_eligible",
)

_joining = msgspec.json.Decoder(Joining)
_changing = msgspec.json.Decoder(Changing)

MemberIdParameter = Annotated[str, PathParameter(description="The member's id, as the shop has it.")]


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

    @patch(
        "/{member_id:str}",
        operation_id="changeMember",
        summary="A new phone number, more cards",
        response_description="The member's numbers as they are kept now.",
        opt=contract(
            "unauthorized",
            "forbidden",
            "invalid_request",
            "invalid_phone",
            "unknown_member",
            "card_taken",
            takes=Changing,
        ),
    )
    async def change(self, request: Request[Any, Any, Any], member_id: MemberIdParameter) -> Answer[Changed]:
        """What is left out stays as it is; the same change again changes nothing.

        Where phone numbers are card numbers, the old number is the member's no more. Nothing is paid out to a
        new number for as long as the program says.
        """
        api = await shop_of(request.scope)
        changing = await read_json(request, _changing)
        return answer(await change_member(api.parts, member_id, changing))
