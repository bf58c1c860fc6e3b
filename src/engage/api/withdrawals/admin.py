"""Operators see withdrawals, and confirm or fail those paid at a counter."""

from typing import Any
from uuid import UUID

from litestar import Controller, Request, get, post
from msgspec import Struct

from engage.api.http.answers import Answer, answer
from engage.api.http.bodies import EmptyRequest, read_empty
from engage.api.http.callers import operator_idempotency, operator_of
from engage.api.http.operation import OPERATOR, Repeat, contract
from engage.api.http.parameters import WithdrawalIdParameter
from engage.domain.refusals import UseCase
from engage.domain.withdrawals.withdrawal import Withdrawal
from engage.flows.withdrawals.outcome import confirm_withdrawal
from engage.flows.withdrawals.reads import WithdrawalView, read_any_withdrawal, view


class MemberWithdrawal(Struct, frozen=True):
    """A withdrawal and its member."""

    program: str
    member_id: str
    withdrawal: WithdrawalView


class AdminWithdrawalController(Controller):
    path = "/v1/admin/withdrawals/{withdrawal_id:uuid}"
    tags = ("Withdrawals",)
    security = (OPERATOR,)
    middleware = (operator_idempotency(),)

    @get(
        operation_id="getMemberWithdrawal",
        summary="Get a withdrawal of any member",
        response_description="The withdrawal and its member.",
        opt=contract(),
    )
    async def withdrawal(
        self, request: Request[Any, Any, Any], withdrawal_id: WithdrawalIdParameter
    ) -> Answer[MemberWithdrawal]:
        """For a counter that is about to pay it."""
        api, key = await operator_of(request.scope)
        withdrawal = await read_any_withdrawal(api.services, withdrawal_id)
        key.check(withdrawal.program_id)
        return answer(_view(withdrawal))

    @post(
        "/settle",
        status_code=200,
        operation_id="settleWithdrawal",
        summary="Confirm that a withdrawal was paid",
        response_description="The withdrawal is settled. Its points are spent.",
        opt=contract(UseCase.END_WITHDRAWAL, body=EmptyRequest, body_optional=True, repeat=Repeat.HARMLESS),
    )
    async def settle(
        self, request: Request[Any, Any, Any], withdrawal_id: WithdrawalIdParameter
    ) -> Answer[MemberWithdrawal]:
        """For cash that was handed over, or an `unknown` payout that the provider has confirmed. A settled
        withdrawal is answered the same.
        """
        return await _end(request, withdrawal_id, paid=True)

    @post(
        "/fail",
        status_code=200,
        operation_id="failWithdrawal",
        summary="Confirm that a withdrawal was not paid",
        response_description="The withdrawal has failed. The member has the points again.",
        opt=contract(UseCase.END_WITHDRAWAL, body=EmptyRequest, body_optional=True, repeat=Repeat.HARMLESS),
    )
    async def fail(
        self, request: Request[Any, Any, Any], withdrawal_id: WithdrawalIdParameter
    ) -> Answer[MemberWithdrawal]:
        """For cash that was not collected, or an `unknown` payout that the provider has rejected. A failed
        withdrawal is answered the same.
        """
        return await _end(request, withdrawal_id, paid=False)


async def _end(
    request: Request[Any, Any, Any], withdrawal_id: UUID, *, paid: bool
) -> Answer[MemberWithdrawal]:
    api, key = await operator_of(request.scope)
    await read_empty(request)
    key.check((await read_any_withdrawal(api.services, withdrawal_id)).program_id)
    return answer(_view(await confirm_withdrawal(api.services, withdrawal_id, paid=paid, operator=key.name)))


def _view(withdrawal: Withdrawal) -> MemberWithdrawal:
    return MemberWithdrawal(withdrawal.program_id, withdrawal.member_id, view(withdrawal))
