"""A member withdraws points as money."""

from typing import Annotated, Any, Literal

import msgspec
from litestar import Controller, Request, get, post
from msgspec import Meta, Struct

from engage.api.http.answers import Answer, answer
from engage.api.http.bodies import read_json
from engage.api.http.callers import member_idempotency, member_of, members_only
from engage.api.http.idempotency import keyed
from engage.api.http.operation import MEMBER, Repeat, contract
from engage.api.http.parameters import WithdrawalIdParameter
from engage.domain.members.phone import Phone
from engage.domain.refusals import UseCase
from engage.flows.withdrawals.reads import WithdrawalView, read_withdrawal
from engage.flows.withdrawals.withdraw import withdraw


class WithdrawalRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Without `phone`, mobile money goes to the member's registered number."""

    points: Annotated[int, Meta(ge=1, le=1_000_000_000)]
    method: Literal["cash", "mobile_money"]
    phone: Phone | None = None


_withdrawal = msgspec.json.Decoder(WithdrawalRequest)


def _requested(withdrawal: WithdrawalView) -> Answer[WithdrawalView]:
    return answer(withdrawal, 202)


class WithdrawalController(Controller):
    path = "/v1/withdrawals"
    tags = ("Withdrawals",)
    security = (MEMBER,)

    @post(
        status_code=202,
        middleware=(member_idempotency(),),
        operation_id="createWithdrawal",
        summary="Withdraw points as money",
        response_description="The points are held. Their worth will be paid out.",
        opt=contract(UseCase.WITHDRAW, body=WithdrawalRequest, repeat=Repeat.KEY_REQUIRED),
    )
    async def withdraw(self, request: Request[Any, Any, Any]) -> Answer[WithdrawalView]:
        """In cash at a counter, or by mobile money. The points of a failed withdrawal are given back."""
        api, member = await member_of(request.scope)
        wanted = await read_json(request, _withdrawal)
        with members_only():
            withdrawal = await withdraw(
                api.services,
                member.program_id,
                member.member_id,
                points=wanted.points,
                method=wanted.method,
                phone=wanted.phone,
                keyed=keyed(request.scope, _requested),
            )
        return _requested(withdrawal)

    @get(
        "/{withdrawal_id:uuid}",
        operation_id="getWithdrawal",
        summary="Get a withdrawal",
        response_description="The withdrawal, with its state.",
        opt=contract(),
    )
    async def show(
        self,
        request: Request[Any, Any, Any],
        withdrawal_id: WithdrawalIdParameter,
    ) -> Answer[WithdrawalView]:
        """The state is `unknown` until the provider has confirmed the payout or its failure."""
        api, member = await member_of(request.scope)
        with members_only():
            withdrawal = await read_withdrawal(
                api.services, member.program_id, member.member_id, withdrawal_id
            )
        return answer(withdrawal)
