"""Operators see who has entered a draw, with their posts, and who has won."""

from typing import Annotated, Any

from litestar import Controller, Request, get
from litestar.params import PathParameter, QueryParameter
from msgspec import Struct

from engage.api.http.answers import Answer, answer
from engage.api.http.bodies import check_query
from engage.api.http.callers import opened_programs, operator_of
from engage.api.http.operation import OPERATOR, contract
from engage.api.http.pages import PAGE, Cursor, Limit, cut, seq_before
from engage.api.http.parameters import NOT_GIVEN
from engage.domain.refusals import UseCase
from engage.flows.draws.reads import list_entries
from engage.store.draws.draws import MemberEntry

DrawIdParameter = Annotated[str, PathParameter(description="The id of the draw.")]
ProgramParameter = Annotated[
    str,
    QueryParameter(
        description="The program of the draw. Needed only where several programs have one of this id.",
        max_length=32,
    ),
]
WinnersParameter = Annotated[bool, QueryParameter(name="winners", description="Only entries that have won.")]


class MemberEntryPage(Struct, frozen=True):
    """A page of entries."""

    items: list[MemberEntry]
    next_cursor: str | None


class AdminDrawController(Controller):
    path = "/v1/admin/draws/{draw_id:str}/entries"
    tags = ("Draws",)
    security = (OPERATOR,)

    @get(
        operation_id="listDrawEntries",
        summary="List the entries of a draw",
        response_description="A page of entries, the highest number first.",
        opt=contract(UseCase.READ_DRAW),
    )
    async def entries(
        self,
        request: Request[Any, Any, Any],
        draw_id: DrawIdParameter,
        program: ProgramParameter = NOT_GIVEN,
        winners: WinnersParameter = False,
        cursor: Cursor = "",
        limit: Limit = PAGE,
    ) -> Answer[MemberEntryPage]:
        """With the posts that members have reported, to look at before a winner is congratulated. Members
        who were erased are not listed.
        """
        api, key = await operator_of(request.scope)
        check_query(request, "program", "winners", "cursor", "limit")
        found = await list_entries(
            api.services,
            opened_programs(api, key, program),
            draw_id,
            winners=winners,
            before=seq_before(cursor),
            limit=limit + 1,
        )
        return answer(MemberEntryPage(*cut(found, limit, lambda entry: entry.number)))
