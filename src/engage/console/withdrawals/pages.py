"""The withdrawals that wait for an operator or are to be looked into, and how they went."""

from datetime import datetime
from typing import Annotated, Any, Final, get_args
from uuid import UUID

from litestar import Controller, get, post
from litestar.exceptions import NotFoundException
from litestar.params import PathParameter
from litestar.response import Redirect, Response

from engage.console.context import HtmlRequest, Visitor, asked, visitor_of
from engage.console.forms import do_once
from engage.console.members.subject import path_of
from engage.console.permissions import needs
from engage.console.rendering import page
from engage.domain.members.phone import masked
from engage.domain.money import Money
from engage.domain.operators.roles import Permission
from engage.domain.withdrawals.withdrawal import NOT_RECEIVED, PROVIDER_UNREACHABLE
from engage.flows.withdrawals.outcome import NOT_PAID, confirm_withdrawal
from engage.flows.withdrawals.reads import list_withdrawals, read_compared_withdrawal
from engage.store.withdrawals.withdrawals import ComparedWithdrawal, Place, Which

WithdrawalId = Annotated[UUID, PathParameter()]
LISTS: Final[tuple[Which, ...]] = get_args(Which)

# Failures that are ours. All others are the provider's own words.
FAILURES: Final = (NOT_PAID, NOT_RECEIVED, PROVIDER_UNREACHABLE)

_PAGE: Final = 25


class WithdrawalController(Controller):
    path = "/withdrawals"

    @get(opt=needs(Permission.PAY))
    async def withdrawals(self, request: HtmlRequest) -> Response[Any]:
        """A withdrawal whose id is given is opened."""
        visitor, after, wanted = visitor_of(request), asked(request, "after"), asked(request, "id")
        if (id_ := _id(wanted)) is not None:
            return Redirect(f"/console/withdrawals/{id_}", status_code=303)
        which = next((known for known in LISTS if known == asked(request, "which")), LISTS[0])
        found = await list_withdrawals(
            visitor.services, visitor.programs, which, after=_place(after), limit=_PAGE + 1
        )
        shown = found[:_PAGE]
        last = f"{shown[-1].requested_at.isoformat()}/{shown[-1].id}" if len(found) > _PAGE else ""
        return page(
            request,
            visitor,
            "withdrawals/list.html",
            withdrawals=[(each, _amount(each)) for each in shown],
            lists=LISTS,
            chosen=which,
            wanted=wanted,
            path_of=path_of,
            next_page=last,
            is_first_page=not after,
        )

    @get("/{withdrawal_id:uuid}", opt=needs(Permission.PAY))
    async def withdrawal(self, request: HtmlRequest, withdrawal_id: WithdrawalId) -> Response[Any]:
        visitor = visitor_of(request)
        withdrawal = await _find(visitor, withdrawal_id)
        return page(
            request,
            visitor,
            "withdrawals/withdrawal.html",
            withdrawal=withdrawal,
            amount=_amount(withdrawal),
            phone=None if withdrawal.phone is None else masked(withdrawal.phone),
            failure_is_ours=withdrawal.failure in FAILURES,
            member_path=path_of(*withdrawal.key),
        )

    @post("/{withdrawal_id:uuid}/settle", status_code=303, opt=needs(Permission.PAY))
    async def settle(self, request: HtmlRequest, withdrawal_id: WithdrawalId) -> Response[Any]:
        """It was paid: its points are spent."""
        return await _end(request, withdrawal_id, paid=True)

    @post("/{withdrawal_id:uuid}/fail", status_code=303, opt=needs(Permission.PAY))
    async def fail(self, request: HtmlRequest, withdrawal_id: WithdrawalId) -> Response[Any]:
        """It was not paid: the member has the points again."""
        return await _end(request, withdrawal_id, paid=False)


async def _end(request: HtmlRequest, id_: UUID, *, paid: bool) -> Response[Any]:
    visitor = visitor_of(request)
    await _find(visitor, id_)
    return await do_once(
        request,
        visitor,
        lambda once: confirm_withdrawal(
            visitor.services, id_, paid=paid, operator=visitor.identity.name, keyed=once
        ),
        then=lambda ended: f"/console/withdrawals/{id_}?done=withdrawals.{ended.state}",
    )


def _amount(withdrawal: ComparedWithdrawal) -> Money:
    return Money(withdrawal.amount_minor, withdrawal.currency)


async def _find(visitor: Visitor, id_: UUID) -> ComparedWithdrawal:
    """Raises NotFoundException for members of other operators' programs; Refusal not_found; Unavailable."""
    withdrawal = await read_compared_withdrawal(visitor.services, id_)
    if withdrawal.program_id not in visitor.programs:
        raise NotFoundException(str(id_))
    return withdrawal


def _id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _place(text: str) -> Place | None:
    at, _, rest = text.partition("/")
    id_ = _id(rest)
    try:
        instant = datetime.fromisoformat(at)
    except ValueError:
        return None
    return (instant, id_) if id_ is not None and instant.tzinfo is not None else None
