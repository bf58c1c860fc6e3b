"""Withdrawals as members and operators see them."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from engage.domain.money import Money
from engage.domain.refusals import Code, Refusal
from engage.domain.withdrawals.definition import Method
from engage.domain.withdrawals.withdrawal import State, Withdrawal
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.store.withdrawals import withdrawals as store
from engage.store.withdrawals.withdrawals import ClosedWanted, ComparedWithdrawal, Place, Which


class WithdrawalView(Struct, frozen=True, kw_only=True):
    """A withdrawal. `failure` is the reason why it failed; its points are released.

    `unknown`: the provider has not confirmed the payment yet, and is being asked.
    """

    id: UUID
    state: State
    method: Method
    points: int
    amount: Money
    phone: str | None
    requested_at: datetime
    closed_at: datetime | None
    failure: str | None


async def read_withdrawal(services: Services, program_id: str, member_id: str, id_: UUID) -> WithdrawalView:
    """Read a withdrawal of this member. Raises Refusal unknown_member, not_found; Unavailable."""
    member = await services.members.get(services.db, program_id, member_id)
    async with transaction(services.db) as conn:
        withdrawal = await store.read_withdrawal(conn, id_)
    # A withdrawal requested before a merge keeps the member id that it was requested with.
    if withdrawal is None or withdrawal.key not in ((program_id, member_id), (program_id, member.member_id)):
        raise Refusal(Code.NOT_FOUND)
    return view(withdrawal)


async def read_any_withdrawal(services: Services, id_: UUID) -> Withdrawal:
    """Read a withdrawal of any member, for operators. Raises Refusal not_found; Unavailable."""
    async with transaction(services.db) as conn:
        withdrawal = await store.read_withdrawal(conn, id_)
    if withdrawal is None:
        raise Refusal(Code.NOT_FOUND)
    return withdrawal


async def list_withdrawals(
    services: Services, program_ids: Sequence[str], which: Which, *, after: Place | None, limit: int
) -> list[ComparedWithdrawal]:
    """Read a page of the withdrawals of these programs, for operators. Raises Unavailable."""
    async with transaction(services.db) as conn:
        return await store.list_withdrawals(conn, program_ids, which, after=after, limit=limit)


async def list_closed_withdrawals(
    services: Services,
    program_ids: Sequence[str],
    wanted: ClosedWanted,
    *,
    before: UUID | None,
    limit: int,
) -> list[ComparedWithdrawal]:
    """Read a page of the withdrawals of these programs that have ended, newest first. Raises Unavailable."""
    async with transaction(services.db) as conn:
        return await store.list_closed(conn, program_ids, wanted, before=before, limit=limit)


async def read_compared_withdrawal(services: Services, id_: UUID) -> ComparedWithdrawal:
    """Read a withdrawal with what its provider has otherwise. Raises Refusal not_found; Unavailable."""
    async with transaction(services.db) as conn:
        withdrawal = await store.read_compared(conn, id_)
    if withdrawal is None:
        raise Refusal(Code.NOT_FOUND)
    return withdrawal


def view(withdrawal: Withdrawal) -> WithdrawalView:
    return WithdrawalView(
        id=withdrawal.id,
        state=withdrawal.state,
        method=withdrawal.method,
        points=withdrawal.points,
        amount=Money(withdrawal.amount_minor, withdrawal.currency),
        phone=withdrawal.phone,
        requested_at=withdrawal.requested_at,
        closed_at=withdrawal.closed_at,
        failure=withdrawal.failure,
    )
