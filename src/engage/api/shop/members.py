"""The shop registers members, and tells what has changed about them."""

from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, patch, post
from litestar.params import PathParameter
from msgspec import Struct

from engage.api.answer import Answer, answer
from engage.api.bodies import read_json
from engage.api.callers import key_of
from engage.api.contract import SHOP, contract
from engage.api.shop.callers import once_for_shop, shop_of
from engage.domain.activity import MemberId
from engage.domain.document.fields import ProgramId
from engage.domain.refusals import UseCase
from engage.flows.members.adjust import Reason
from engage.flows.members.merge import MergeResult, merge_members
from engage.flows.members.register import MemberRegistration, RegisteredMember, register_member
from engage.flows.members.update import MemberUpdate, UpdatedMember, update_member


class CardMerging(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`into` is the member who stays."""

    program: ProgramId
    into: MemberId
    reason: Reason


_joining = msgspec.json.Decoder(MemberRegistration)
_changing = msgspec.json.Decoder(MemberUpdate)
_merging = msgspec.json.Decoder(CardMerging)

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
        opt=contract(UseCase.REGISTER_MEMBER, takes=MemberRegistration, once=True),
    )
    async def register(self, request: Request[Any, Any, Any]) -> Answer[RegisteredMember]:
        """A person or company joins a program, if its rules let them."""
        api = await shop_of(request.scope)
        registration = await read_json(request, _joining)
        return answer(await register_member(api.services, registration), 201)

    @patch(
        "/{member_id:str}",
        operation_id="changeMember",
        summary="A new phone number, more cards",
        response_description="The member's numbers as they are kept now.",
        opt=contract(UseCase.CHANGE_MEMBER, takes=MemberUpdate),
    )
    async def change(
        self, request: Request[Any, Any, Any], member_id: MemberIdParameter
    ) -> Answer[UpdatedMember]:
        """What is left out stays as it is; the same change again changes nothing.

        Where phone numbers are card numbers, the old number is the member's no more. Nothing is paid out to a
        new number for as long as the program says.
        """
        api = await shop_of(request.scope)
        changing = await read_json(request, _changing)
        return answer(await update_member(api.services, member_id, changing))

    @post(
        "/{member_id:str}/merge",
        status_code=200,
        operation_id="mergeCards",
        summary="Two cards of one member",
        response_description="There is one member now, who has what both had.",
        opt=contract(UseCase.MERGE_MEMBERS, takes=CardMerging, once=True),
    )
    async def merge(
        self, request: Request[Any, Any, Any], member_id: MemberIdParameter
    ) -> Answer[MergeResult]:
        """Where somebody turns out to have two accounts. The member of the path goes on as the one of `into`,
        with all they have; so do their tokens, and events that name them.
        """
        api = await shop_of(request.scope)
        merging = await read_json(request, _merging)
        shop = await key_of(api.keys, request.scope, "shop")
        merged = await merge_members(
            api.services,
            merging.program,
            member_id,
            into=merging.into,
            reason=merging.reason,
            operator=shop.id,
        )
        return answer(merged)
