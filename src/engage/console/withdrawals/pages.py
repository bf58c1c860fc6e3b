"""The withdrawals that wait for an operator or are to be looked into, and how they went."""

from typing import Annotated, Any, Final, Literal, get_args
from uuid import UUID

from litestar import Controller, get, post
from litestar.params import PathParameter
from litestar.response import Redirect, Response

from engage.console.context import HtmlRequest, Visitor, asked, visitor_of
from engage.console.forms import do_once
from engage.console.members.subject import path_of
from engage.console.paging import PAGE, Shown, place_of, read_id, read_place, shown_page
from engage.console.permissions import needs
from engage.console.rendering import page
from engage.domain.accounts.period import InvalidPeriod, parse_moment
from engage.domain.members.phone import masked
from engage.domain.money import Money
from engage.domain.operators.roles import Permission
from engage.domain.withdrawals.withdrawal import NOT_RECEIVED, PROVIDER_UNREACHABLE
from engage.flows.withdrawals.outcome import NOT_PAID, confirm_withdrawal
from engage.flows.withdrawals.reads import list_closed_withdrawals, list_withdrawals, read_compared_withdrawal
from engage.store.withdrawals.withdrawals import ClosedWanted, ComparedWithdrawal, Place, Which

WithdrawalId = Annotated[UUID, PathParameter()]
CLOSED: Final = "closed"
LISTS: Final = (*get_args(Which), CLOSED)
STATES: Final[tuple[Literal["settled", "failed"], ...]] = ("settled", "failed")

# Failures that are ours. All others are the provider's own words.
FAILURES: Final = (NOT_PAID, NOT_RECEIVED, PROVIDER_UNREACHABLE)


class WithdrawalController(Controller):
    path = "/withdrawals"

    @get(opt=needs(Permission.PAY))
    async def withdrawals(self, request: HtmlRequest) -> Response[Any]:
        """A withdrawal whose id is given is opened."""
        visitor, after, wanted = visitor_of(request), asked(request, "after"), asked(request, "id")
        if (id_ := read_id(wanted)) is not None:
            return Redirect(f"/console/withdrawals/{id_}", status_code=303)
        which = next((known for known in get_args(Which) if known == asked(request, "which")), LISTS[0])
        if asked(request, "which") == CLOSED:
            return await _closed(request, visitor, wanted)
        found = await list_withdrawals(
            visitor.services, visitor.programs, which, after=_place(after), limit=PAGE + 1
        )
        shown = shown_page(found, after, lambda last: place_of(last.requested_at, last.id))
        return _list(request, visitor, shown, {"which": which}, wanted)

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


async def _closed(request: HtmlRequest, visitor: Visitor, wanted: str) -> Response[Any]:
    """Those that have ended, of a state, a member, or days in UTC."""
    chosen = {name: asked(request, name) for name in ("state", "member", "from", "until")}
    after, problems, days = asked(request, "after"), {}, {}
    for name in ("from", "until"):
        try:
            days[name] = parse_moment(chosen[name], name, end=name == "until") if chosen[name] else None
        except InvalidPeriod as error:
            problems[name] = str(error)
    closed = ClosedWanted(
        state=next((known for known in STATES if known == chosen["state"]), None),
        member_id=chosen["member"] or None,
        since=days.get("from"),
        until=days.get("until"),
    )
    found = await list_closed_withdrawals(
        visitor.services, visitor.programs, closed, before=read_id(after), limit=PAGE + 1
    )
    shown = shown_page([] if problems else found, after, lambda last: last.id)
    return _list(request, visitor, shown, {"which": CLOSED} | chosen, wanted, problems)


def _list(
    request: HtmlRequest,
    visitor: Visitor,
    shown: Shown[ComparedWithdrawal],
    chosen: dict[str, str],
    wanted: str,
    problems: dict[str, str] | None = None,
) -> Response[bytes]:
    return page(
        request,
        visitor,
        "withdrawals/list.html",
        status=422 if problems else 200,
        withdrawals=shown,
        amount_of=_amount,
        lists=LISTS,
        states=STATES,
        chosen=chosen,
        problems=problems or {},
        wanted=wanted,
    )


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
    visitor.check_program(withdrawal.program_id)
    return withdrawal


def _place(text: str) -> Place | None:
    place = read_place(text)
    id_ = None if place is None else read_id(place[1])
    return None if place is None or id_ is None else (place[0], id_)
