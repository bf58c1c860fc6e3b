"""A member takes points out as money."""

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Controller, Request, get, post
from litestar.params import PathParameter
from msgspec import Meta, Struct

from engage.api.answer import Answer, answer
from engage.api.bodies import read_json
from engage.api.contract import MEMBER, contract
from engage.api.mobile.callers import member_of, members_only, once_for_member
from engage.domain.members.phone import Phone
from engage.domain.refusals import UseCase
from engage.flows.withdrawals.reads import WithdrawalView, read_withdrawal
from engage.flows.withdrawals.withdraw import withdraw


class WithdrawalRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Without `phone` mobile money goes to the member's own number."""

    points: Annotated[int, Meta(ge=1, le=1_000_000_000)]
    method: Literal["cash", "mobile_money"]
    phone: Phone | None = None


_request = msgspec.json.Decoder(WithdrawalRequest)


class WithdrawalController(Controller):
    path = "/v1/withdrawals"
    tags = ("Withdrawals",)
    security = (MEMBER,)

    @post(
        status_code=202,
        middleware=(once_for_member,),
        operation_id="withdraw",
        summary="Take points out as money",
        response_description="The points are set aside, and their worth will be paid out.",
        opt=contract(UseCase.WITHDRAW, takes=WithdrawalRequest, once=True),
    )
    async def withdraw(self, request: Request[Any, Any, Any]) -> Answer[WithdrawalView]:
        """In cash at a counter, or to a mobile phone. What fails gives its points back."""
        api, who = member_of(request.scope)
        sent = await read_json(request, _request)
        with members_only():
            asked = await withdraw(
                api.services,
                who.program_id,
                who.member_id,
                points=sent.points,
                method=sent.method,
                phone=sent.phone,
            )
        return answer(asked, 202)

    @get(
        "/{withdrawal_id:uuid}",
        operation_id="getWithdrawal",
        summary="What has become of a withdrawal",
        response_description="The withdrawal.",
        opt=contract(),
    )
    async def show(
        self,
        request: Request[Any, Any, Any],
        withdrawal_id: Annotated[UUID, PathParameter(description="The withdrawal's id.")],
    ) -> Answer[WithdrawalView]:
        """`unknown` is said while nobody knows whether it was paid; it ends settled or failed."""
        api, who = member_of(request.scope)
        with members_only():
            found = await read_withdrawal(api.services, who.program_id, who.member_id, withdrawal_id)
        return answer(found)
