"""Operators see withdrawals, and say of those paid at a counter how they ended."""

from typing import Annotated, Any
from uuid import UUID

from litestar import Controller, Request, get, post
from litestar.params import PathParameter
from msgspec import Struct

from engage.api.admin.callers import once_for_operator, operator_of
from engage.api.answer import Answer, answer
from engage.api.bodies import Nothing, read_nothing
from engage.api.contract import OPERATOR, contract
from engage.domain.refusals import UseCase
from engage.domain.withdrawals.withdrawal import Withdrawal
from engage.flows.withdrawals.outcome import confirm_withdrawal
from engage.flows.withdrawals.reads import WithdrawalView, read_any_withdrawal, view

WithdrawalId = Annotated[UUID, PathParameter(description="The withdrawal's id.")]


class MemberWithdrawal(Struct, frozen=True):
    """A withdrawal, and whose it is."""

    program: str
    member_id: str
    withdrawal: WithdrawalView


class AdminWithdrawalController(Controller):
    path = "/v1/admin/withdrawals/{withdrawal_id:uuid}"
    tags = ("Withdrawals",)
    security = (OPERATOR,)

    @get(
        operation_id="getAnyWithdrawal",
        summary="A withdrawal",
        response_description="The withdrawal, and whose it is.",
        opt=contract(),
    )
    async def show(
        self, request: Request[Any, Any, Any], withdrawal_id: WithdrawalId
    ) -> Answer[MemberWithdrawal]:
        """What a counter looks at before it pays."""
        api, _ = await operator_of(request.scope)
        return answer(_shown(await read_any_withdrawal(api.services, withdrawal_id)))

    @post(
        "/settle",
        status_code=200,
        middleware=(once_for_operator,),
        operation_id="settleWithdrawal",
        summary="It was paid",
        response_description="It is settled; its points are gone.",
        opt=contract(UseCase.END_WITHDRAWAL, takes=Nothing, optional=True, once=True),
    )
    async def settle(
        self, request: Request[Any, Any, Any], withdrawal_id: WithdrawalId
    ) -> Answer[MemberWithdrawal]:
        """The cash was handed over; or the provider has said so of one that is `unknown`. Again: the same."""
        return await _ended(request, withdrawal_id, paid=True)

    @post(
        "/fail",
        status_code=200,
        middleware=(once_for_operator,),
        operation_id="failWithdrawal",
        summary="It was not paid",
        response_description="It has failed; its points are the member's again.",
        opt=contract(UseCase.END_WITHDRAWAL, takes=Nothing, optional=True, once=True),
    )
    async def fail(
        self, request: Request[Any, Any, Any], withdrawal_id: WithdrawalId
    ) -> Answer[MemberWithdrawal]:
        """Nobody came for the cash; or the provider has said so of one that is `unknown`. Again: the same."""
        return await _ended(request, withdrawal_id, paid=False)


async def _ended(
    request: Request[Any, Any, Any], withdrawal_id: UUID, *, paid: bool
) -> Answer[MemberWithdrawal]:
    api, _ = await operator_of(request.scope)
    await read_nothing(request)
    return answer(_shown(await confirm_withdrawal(api.services, withdrawal_id, paid=paid)))


def _shown(withdrawal: Withdrawal) -> MemberWithdrawal:
    return MemberWithdrawal(withdrawal.program_id, withdrawal.member_id, view(withdrawal))
