"""What a member sees: the home screen, the credits with why, the statement."""

import hashlib
from typing import Annotated, Any, Literal
from uuid import UUID

from litestar import Controller, Request, get
from litestar.params import PathParameter, QueryParameter
from msgspec import Struct

from engage.api.answer import JSON, Answer, answer, encode
from engage.api.bodies import check_query
from engage.api.contract import MEMBER, contract
from engage.api.mobile.callers import member_of, members_only
from engage.api.mobile.pages import EVERY, PAGE, Cursor, Limit, cut, id_before, seq_before
from engage.flows.reads.home import Home, read_home
from engage.flows.reads.statement import read_credit, read_credits, read_entries
from engage.ledger.credits import Credit, Entry

State = Literal["pending", "active", "expired", "reversed", ""]
StateParameter = Annotated[State, QueryParameter(name="state", description="Only credits in this state.")]


class CreditPage(Struct, frozen=True):
    items: list[Credit]
    next_cursor: str | None


class EntryPage(Struct, frozen=True):
    items: list[Entry]
    next_cursor: str | None


class MeController(Controller):
    path = "/v1/me"
    tags = ("Me",)
    security = (MEMBER,)

    @get(
        operation_id="getHome",
        summary="The home screen in one answer",
        response_description="The member as the database has them now.",
        opt=contract(tagged=True),
    )
    async def home(self, request: Request[Any, Any, Any]) -> Answer[Home]:
        """Who the member is, what they have and when it ends, the streak, and what is left of each limit.

        Send the answer's ETag in `If-None-Match`: where nothing has changed the answer is 304.
        """
        api, who = member_of(request.scope)
        with members_only():
            body = encode(await read_home(api.services, who.program_id, who.member_id))
        tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
        headers = [(b"etag", tag.encode()), (b"cache-control", b"private, no-cache"), *JSON]
        if _matches(request.headers.getall("if-none-match", []), tag):
            return Answer(b"", headers, 304)
        return Answer(body, headers, 200)

    @get(
        "/credits",
        operation_id="listCredits",
        summary="Credits, newest first",
        response_description="A page of credits.",
        opt=contract(),
    )
    async def credits(
        self,
        request: Request[Any, Any, Any],
        in_state: StateParameter = EVERY,
        cursor: Cursor = "",
        limit: Limit = PAGE,
    ) -> Answer[CreditPage]:
        """Points granted for one activity each, with everything that the decision was made of."""
        api, who = member_of(request.scope)
        check_query(request, "state", "cursor", "limit")
        before = id_before(cursor)
        with members_only():
            found = await read_credits(
                api.services,
                who.program_id,
                who.member_id,
                state=in_state or None,
                before=before,
                limit=limit + 1,
            )
        return answer(CreditPage(*cut(found, limit, lambda credit: credit.id)))

    @get(
        "/credits/{credit_id:uuid}",
        operation_id="getCredit",
        summary="One credit, with its whole why",
        response_description="The credit.",
        opt=contract(),
    )
    async def credit(
        self,
        request: Request[Any, Any, Any],
        credit_id: Annotated[UUID, PathParameter(description="The credit's id.")],
    ) -> Answer[Credit]:
        """Another member's credit is not found."""
        api, who = member_of(request.scope)
        with members_only():
            return answer(await read_credit(api.services, who.program_id, who.member_id, credit_id))

    @get(
        "/entries",
        operation_id="listEntries",
        summary="The statement, newest first",
        response_description="A page of entries.",
        opt=contract(),
    )
    async def entries(
        self, request: Request[Any, Any, Any], cursor: Cursor = "", limit: Limit = PAGE
    ) -> Answer[EntryPage]:
        """Every movement of the spendable balance, with the balance after it."""
        api, who = member_of(request.scope)
        check_query(request, "cursor", "limit")
        before = seq_before(cursor)
        with members_only():
            found = await read_entries(
                api.services, who.program_id, who.member_id, before=before, limit=limit + 1
            )
        return answer(EntryPage(*cut(found, limit, lambda entry: entry.seq)))


def _matches(if_none_match: list[str], tag: str) -> bool:
    """Whether the caller has this version. Comparison is weak: proxies mark what they compress with W/."""
    listed = [one.strip().removeprefix("W/") for header in if_none_match for one in header.split(",")]
    return tag in listed or "*" in listed
