"""What a member sees: the home screen, the credits with why, the statement."""

import hashlib
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from litestar import Controller, Request, get
from litestar.params import PathParameter, QueryParameter
from msgspec import Struct

from engage.api.answer import JSON, Answer, answer, encode
from engage.api.bodies import check_query, decode_cursor, encode_cursor
from engage.api.contract import MEMBER, contract
from engage.api.mobile.callers import as_unauthorized, member_of
from engage.domain.refusal import Refusal
from engage.flows.home import Home, read_home
from engage.flows.statement import read_credit, read_credits, read_entries
from engage.ledger.credits import Credit, Entry

PAGE = 20
LONGEST_PAGE = 100

# A default that is no value of its own: msgspec would take `state=null` for None, and show everything.
EVERY: Final = ""
State = Literal["pending", "active", "expired", "reversed", ""]
StateParameter = Annotated[State, QueryParameter(name="state", description="Only credits in this state.")]
Cursor = Annotated[
    str,
    QueryParameter(description="`next_cursor` of the page before; the first page has none.", max_length=64),
]
Limit = Annotated[int, QueryParameter(description="How many at most.", ge=1, le=LONGEST_PAGE)]


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
        opt=contract("unauthorized", tagged=True),
    )
    async def home(self, request: Request[Any, Any, Any]) -> Answer[Home]:
        """Who the member is, what they have and when it ends, the streak, and what is left of each limit.

        Send the answer's ETag in `If-None-Match`: where nothing has changed the answer is 304.
        """
        api, who = member_of(request.scope)
        try:
            body = encode(await read_home(api.parts, who.program_id, who.member_id))
        except Refusal as refusal:
            raise as_unauthorized(refusal) from None
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
        opt=contract("unauthorized", "invalid_request"),
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
        before = None if not cursor else UUID(bytes=decode_cursor(cursor, 16))
        try:
            found = await read_credits(
                api.parts,
                who.program_id,
                who.member_id,
                state=in_state or None,
                before=before,
                limit=limit + 1,
            )
        except Refusal as refusal:
            raise as_unauthorized(refusal) from None
        page, more = found[:limit], len(found) > limit
        return answer(CreditPage(page, encode_cursor(page[-1].id.bytes) if more else None))

    @get(
        "/credits/{credit_id:uuid}",
        operation_id="getCredit",
        summary="One credit, with its whole why",
        response_description="The credit.",
        opt=contract("unauthorized", "not_found"),
    )
    async def credit(
        self,
        request: Request[Any, Any, Any],
        credit_id: Annotated[UUID, PathParameter(description="The credit's id.")],
    ) -> Answer[Credit]:
        """Another member's credit is not found."""
        api, who = member_of(request.scope)
        try:
            return answer(await read_credit(api.parts, who.program_id, who.member_id, credit_id))
        except Refusal as refusal:
            raise as_unauthorized(refusal) from None

    @get(
        "/entries",
        operation_id="listEntries",
        summary="The statement, newest first",
        response_description="A page of entries.",
        opt=contract("unauthorized", "invalid_request"),
    )
    async def entries(
        self, request: Request[Any, Any, Any], cursor: Cursor = "", limit: Limit = PAGE
    ) -> Answer[EntryPage]:
        """Every movement of the spendable balance, with the balance after it."""
        api, who = member_of(request.scope)
        check_query(request, "cursor", "limit")
        before = None if not cursor else int.from_bytes(decode_cursor(cursor, 8), signed=True)
        try:
            found = await read_entries(
                api.parts, who.program_id, who.member_id, before=before, limit=limit + 1
            )
        except Refusal as refusal:
            raise as_unauthorized(refusal) from None
        page, more = found[:limit], len(found) > limit
        next_cursor = encode_cursor(page[-1].seq.to_bytes(8, signed=True)) if more else None
        return answer(EntryPage(page, next_cursor))


def _matches(if_none_match: list[str], tag: str) -> bool:
    """Whether the caller has this version. Comparison is weak: proxies mark what they compress with W/."""
    listed = [one.strip().removeprefix("W/") for header in if_none_match for one in header.split(",")]
    return tag in listed or "*" in listed
