"""A member's account: the statement, the credits, the orders and the coupons, page by page."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, get_args

from litestar import Controller, get
from litestar.response import Response
from msgspec import Struct

from engage.console.context import HtmlRequest, asked
from engage.console.members.subject import Subject, member_page, overview_of, subject_of
from engage.console.paging import PAGE, Shown, place_of, read_id, read_number, read_place, shown_page
from engage.console.permissions import needs
from engage.domain.operators.roles import Permission
from engage.flows.reads.member_orders import read_orders
from engage.flows.reads.member_overview import MemberOverview
from engage.flows.reads.statement import StatementLine, read_credits, read_statement
from engage.flows.rewards.coupons import read_coupons
from engage.ledger.credits import CreditState, Entry
from engage.messages.why import TitleOf, titles_in, trace_texts, why_text

STATES: Final[tuple[CreditState, ...]] = get_args(CreditState)


class Reason(Struct, frozen=True):
    """Why there are points: one or two sentences, and the steps of the decision."""

    text: str
    steps: Sequence[str]


class Movement(Struct, frozen=True):
    """A line of the statement. `words` are an operator's."""

    entry: Entry
    reason: Reason | None
    words: str | None


class MemberAccountController(Controller):
    path = "/members/{program:str}/{member_id:str}"

    @get(opt=needs(Permission.READ_MEMBERS))
    async def statement(self, request: HtmlRequest) -> Response[Any]:
        subject, before = subject_of(request), asked(request, "before")
        overview = await overview_of(subject)
        found = await read_statement(*subject.key, before=read_number(before), limit=PAGE + 1)
        movements = shown_page(found, before, lambda last: last.entry.seq)
        return _tab(
            request, subject, overview, "statement", movements, movement_of=partial(_movement, subject)
        )

    @get("/credits", opt=needs(Permission.READ_MEMBERS))
    async def credits(self, request: HtmlRequest) -> Response[Any]:
        subject, before = subject_of(request), asked(request, "before")
        state = next((known for known in STATES if known == asked(request, "state")), None)
        overview = await overview_of(subject)
        found = await read_credits(*subject.key, state=state, before=read_id(before), limit=PAGE + 1)
        title_of = _titles(subject)
        return _tab(
            request,
            subject,
            overview,
            "credits",
            shown_page(found, before, lambda last: last.id),
            reason_of=lambda credit: _reason(subject, credit.why, title_of),
            states=STATES,
            chosen_state=state or "",
        )

    @get("/orders", opt=needs(Permission.READ_MEMBERS))
    async def orders(self, request: HtmlRequest) -> Response[Any]:
        subject, before = subject_of(request), asked(request, "before")
        overview = await overview_of(subject)
        found = await read_orders(*subject.key, before=read_place(before), limit=PAGE + 1)
        orders = shown_page(found, before, lambda last: place_of(last.at, last.order_id))
        return _tab(request, subject, overview, "orders", orders)

    @get("/coupons", opt=needs(Permission.READ_MEMBERS))
    async def coupons(self, request: HtmlRequest) -> Response[Any]:
        subject, before = subject_of(request), asked(request, "before")
        overview = await overview_of(subject)
        found = await read_coupons(*subject.key, state=None, before=read_id(before), limit=PAGE + 1)
        coupons = shown_page(found, before, lambda last: last.id)
        return _tab(request, subject, overview, "coupons", coupons)


def _tab(
    request: HtmlRequest,
    subject: Subject,
    overview: MemberOverview,
    tab: str,
    shown: Shown[Any],
    **values: Any,
) -> Response[bytes]:
    return member_page(request, subject, overview, f"members/{tab}.html", tab=tab, shown=shown, **values)


def _movement(subject: Subject, line: StatementLine) -> Movement:
    why = None if line.credit is None or line.reason is not None else line.credit.why
    reason = None if why is None else _reason(subject, why, _titles(subject))
    return Movement(line.entry, reason, line.reason)


def _reason(subject: Subject, why: Mapping[str, Any], title_of: TitleOf) -> Reason:
    language = subject.visitor.language
    steps = [text for _, text in trace_texts(why, language, title_of)]
    return Reason(why_text(why, language, title_of), steps)


def _titles(subject: Subject) -> TitleOf:
    visitor = subject.visitor
    return titles_in(visitor.language, visitor.services.campaigns.of(subject.program))
