"""A member's credits and statement."""

from typing import Annotated, Any, Literal
from uuid import UUID

from litestar import Controller, Request, get
from litestar.params import PathParameter, QueryParameter
from msgspec import Struct

from engage.api.http.answers import Answer, answer
from engage.api.http.bodies import check_query
from engage.api.http.callers import member_of, members_only
from engage.api.http.operation import MEMBER, contract
from engage.api.http.pages import PAGE, Cursor, Limit, cut, id_before, seq_before
from engage.api.http.parameters import NOT_GIVEN
from engage.api.http.problems import language_of
from engage.api.http.traces import with_text
from engage.flows.reads.statement import read_credit, read_credits, read_entries
from engage.ledger.credits import Credit, Entry
from engage.messages.why import titles_in

State = Literal["pending", "active", "expired", "reversed", ""]
StateParameter = Annotated[State, QueryParameter(name="state", description="Only credits in this state.")]


class CreditPage(Struct, frozen=True):
    """A page of credits."""

    items: list[Credit]
    next_cursor: str | None


class EntryPage(Struct, frozen=True):
    """A page of entries."""

    items: list[Entry]
    next_cursor: str | None


class AccountController(Controller):
    path = "/v1/me"
    tags = ("Me",)
    security = (MEMBER,)

    @get(
        "/credits",
        operation_id="listCredits",
        summary="List credits",
        response_description="A page of credits, newest first.",
        opt=contract(),
    )
    async def credits(
        self,
        request: Request[Any, Any, Any],
        in_state: StateParameter = NOT_GIVEN,
        cursor: Cursor = "",
        limit: Limit = PAGE,
    ) -> Answer[CreditPage]:
        """Points granted for one activity each, with the reason."""
        api, member = await member_of(request.scope)
        check_query(request, "state", "cursor", "limit")
        before = id_before(cursor)
        with members_only():
            credits = await read_credits(
                api.services,
                member.program_id,
                member.member_id,
                state=in_state or None,
                before=before,
                limit=limit + 1,
            )
        language = language_of(request.scope)
        title_of = titles_in(language, api.services.campaigns.of(member.program_id))
        page, next_cursor = cut(credits, limit, lambda credit: credit.id)
        return answer(CreditPage([with_text(credit, language, title_of) for credit in page], next_cursor))

    @get(
        "/credits/{credit_id:uuid}",
        operation_id="getCredit",
        summary="Get a credit",
        response_description="The credit, with the whole reason.",
        opt=contract(),
    )
    async def credit(
        self,
        request: Request[Any, Any, Any],
        credit_id: Annotated[UUID, PathParameter(description="The id of the credit.")],
    ) -> Answer[Credit]:
        """Another member's credit is not found."""
        api, member = await member_of(request.scope)
        with members_only():
            credit = await read_credit(api.services, member.program_id, member.member_id, credit_id)
        language = language_of(request.scope)
        title_of = titles_in(language, api.services.campaigns.of(member.program_id))
        return answer(with_text(credit, language, title_of))

    @get(
        "/entries",
        operation_id="listEntries",
        summary="List the statement",
        response_description="A page of entries, newest first.",
        opt=contract(),
    )
    async def entries(
        self, request: Request[Any, Any, Any], cursor: Cursor = "", limit: Limit = PAGE
    ) -> Answer[EntryPage]:
        """Every movement of the spendable balance, with the balance after it."""
        api, member = await member_of(request.scope)
        check_query(request, "cursor", "limit")
        before = seq_before(cursor)
        with members_only():
            entries = await read_entries(
                api.services, member.program_id, member.member_id, before=before, limit=limit + 1
            )
        return answer(EntryPage(*cut(entries, limit, lambda entry: entry.seq)))
