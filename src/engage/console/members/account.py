"""A member's account: the statement, the credits, the orders and the coupons, page by page."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, get_args
from uuid import UUID

from litestar import Controller, get
from litestar.response import Response
from msgspec import Struct

from engage.console.context import HtmlRequest, asked
from engage.console.members.subject import Subject, member_page, overview_of, subject_of
from engage.console.permissions import needs
from engage.domain.operators.roles import Permission
from engage.flows.reads.member_orders import read_orders
from engage.flows.reads.member_overview import MemberOverview
from engage.flows.reads.statement import StatementLine, read_credits, read_statement
from engage.flows.rewards.coupons import read_coupons
from engage.ledger.credits import Credit, CreditState, Entry
from engage.messages.why import TitleOf, titles_in, trace_texts, why_text

_PAGE: Final = 25
_LARGEST_SEQ: Final = 2**63 - 1
STATES: Final = get_args(CreditState)


class Reason(Struct, frozen=True):
    """Why there are points: one or two sentences, and the steps of the decision."""

    text: str
    steps: Sequence[str]


class Movement(Struct, frozen=True):
    """A line of the statement. `words` are an operator's."""

    entry: Entry
    reason: Reason | None
    words: str | None


class EarnedCredit(Struct, frozen=True):
    credit: Credit
    reason: Reason


class MemberAccountController(Controller):
    path = "/members/{program:str}/{member_id:str}"

    @get(opt=needs(Permission.READ_MEMBERS))
    async def statement(self, request: HtmlRequest) -> Response[Any]:
        subject, before = subject_of(request), asked(request, "before")
        overview = await overview_of(subject)
        found = await read_statement(
            subject.visitor.services,
            subject.program,
            subject.member_id,
            before=_seq(before),
            limit=_PAGE + 1,
        )
        lines, more = found[:_PAGE], len(found) > _PAGE
        return _tab(
            request,
            subject,
            overview,
            "statement",
            movements=[_movement(subject, line) for line in lines],
            next_page=str(lines[-1].entry.seq) if more else "",
        )

    @get("/credits", opt=needs(Permission.READ_MEMBERS))
    async def credits(self, request: HtmlRequest) -> Response[Any]:
        subject, state = subject_of(request), asked(request, "state")
        overview = await overview_of(subject)
        found = await read_credits(
            subject.visitor.services,
            subject.program,
            subject.member_id,
            state=state if state in STATES else None,  # type: ignore[arg-type]  # One of the states.
            before=_id(asked(request, "before")),
            limit=_PAGE + 1,
        )
        shown = found[:_PAGE]
        title_of = _titles(subject)
        return _tab(
            request,
            subject,
            overview,
            "credits",
            credits=[EarnedCredit(credit, _reason(subject, credit.why, title_of)) for credit in shown],
            states=STATES,
            chosen_state=state if state in STATES else "",
            next_page=str(shown[-1].id) if len(found) > _PAGE else "",
        )

    @get("/orders", opt=needs(Permission.READ_MEMBERS))
    async def orders(self, request: HtmlRequest) -> Response[Any]:
        subject = subject_of(request)
        overview = await overview_of(subject)
        found = await read_orders(
            subject.visitor.services,
            subject.program,
            subject.member_id,
            before=_place(asked(request, "before")),
            limit=_PAGE + 1,
        )
        shown = found[:_PAGE]
        last = f"{shown[-1].at.isoformat()}/{shown[-1].order_id}" if len(found) > _PAGE else ""
        return _tab(request, subject, overview, "orders", orders=shown, next_page=last)

    @get("/coupons", opt=needs(Permission.READ_MEMBERS))
    async def coupons(self, request: HtmlRequest) -> Response[Any]:
        subject = subject_of(request)
        overview = await overview_of(subject)
        found = await read_coupons(
            subject.visitor.services,
            subject.program,
            subject.member_id,
            state=None,
            before=_id(asked(request, "before")),
            limit=_PAGE + 1,
        )
        shown = found[:_PAGE]
        next_page = str(shown[-1].id) if len(found) > _PAGE else ""
        return _tab(request, subject, overview, "coupons", coupons=shown, next_page=next_page)


def _tab(
    request: HtmlRequest, subject: Subject, overview: MemberOverview, tab: str, **values: Any
) -> Response[bytes]:
    first = not asked(request, "before")
    return member_page(
        request, subject, overview, f"members/{tab}.html", tab=tab, is_first_page=first, **values
    )


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


def _seq(text: str) -> int | None:
    """The seq that a page begins before; the first page for what is none."""
    return int(text) if text.isascii() and text.isdecimal() and int(text) <= _LARGEST_SEQ else None


def _id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _place(text: str) -> tuple[datetime, str] | None:
    at, _, order_id = text.partition("/")
    try:
        instant = datetime.fromisoformat(at)
    except ValueError:
        return None
    return (instant, order_id) if instant.tzinfo is not None else None
