"""Leaderboards, and the name that a member has on them."""

from typing import Annotated, Any, Literal

import msgspec
from litestar import Controller, Request, delete, get, put
from litestar.params import PathParameter, QueryParameter
from msgspec import Meta, Struct

from engage.api.http.answers import Answer, answer
from engage.api.http.bodies import check_query, read_json
from engage.api.http.callers import member_of, members_only
from engage.api.http.operation import MEMBER, contract
from engage.api.http.parameters import NOT_GIVEN
from engage.api.http.problems import FieldError, invalid, language_of
from engage.domain.leaderboards.display_names import LONGEST_NAME
from engage.domain.refusals import UseCase
from engage.flows.leaderboards.names import DisplayName, choose_name, drop_name, read_own_name
from engage.flows.leaderboards.read import (
    BoardQuestion,
    BoardSummary,
    BoardView,
    list_boards,
    read_board,
)

TOP, MOST_TOP = 10, 100
AROUND, MOST_AROUND = 2, 50

BoardIdParameter = Annotated[str, PathParameter(description="The id of the leaderboard.")]
TopParameter = Annotated[
    int, QueryParameter(name="top", description="So many places from the first.", ge=1, le=MOST_TOP)
]
AroundParameter = Annotated[
    Literal["me", ""], QueryParameter(name="around", description="The places around the member instead.")
]
NeighboursParameter = Annotated[
    int,
    QueryParameter(name="n", description="Places before and after the member.", ge=0, le=MOST_AROUND),
]
PeriodParameter = Annotated[
    str,
    QueryParameter(
        name="period",
        description="An earlier period: a week by its first day, 2026-11-16, or a month, 2026-11.",
        max_length=10,
    ),
]


class DisplayNameRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The name that others see on leaderboards."""

    name: Annotated[str, Meta(min_length=1, max_length=4 * LONGEST_NAME)]


class BoardList(Struct, frozen=True):
    """The leaderboards that are open for the member. `next_cursor` is always null."""

    items: list[BoardSummary]
    next_cursor: str | None


_name = msgspec.json.Decoder(DisplayNameRequest)


class LeaderboardController(Controller):
    path = "/v1"
    tags = ("Leaderboards",)
    security = (MEMBER,)

    @get(
        "/leaderboards",
        operation_id="listLeaderboards",
        summary="List leaderboards",
        response_description="The leaderboards that are open.",
        opt=contract(UseCase.LIST_LEADERBOARDS),
    )
    async def boards(self, request: Request[Any, Any, Any]) -> Answer[BoardList]:
        """With the period that is going on."""
        api, member = await member_of(request.scope)
        check_query(request)
        with members_only():
            boards = await list_boards(
                api.services, member.program_id, member.member_id, language_of(request.scope)
            )
        return answer(BoardList(boards, None))

    @get(
        "/leaderboards/{board_id:str}",
        operation_id="getLeaderboard",
        summary="Get a leaderboard",
        response_description="Places of the leaderboard.",
        opt=contract(UseCase.READ_LEADERBOARD),
    )
    async def board(
        self,
        request: Request[Any, Any, Any],
        board_id: BoardIdParameter,
        top: TopParameter = TOP,
        around: AroundParameter = NOT_GIVEN,
        n: NeighboursParameter = AROUND,
        period: PeriodParameter = NOT_GIVEN,
    ) -> Answer[BoardView]:
        """The first places, or with `around=me` those around the member. Of equal scores the one that was
        reached first stands first.
        """
        api, member = await member_of(request.scope)
        check_query(request, "top", "around", "n", "period")
        given = request.query_params.keys()
        if around and "top" in given:
            raise invalid(FieldError("top", "expected no top beside around"))
        if not around and "n" in given:
            raise invalid(FieldError("n", "expected no n without around=me"))
        question = BoardQuestion(
            member.program_id,
            member.member_id,
            board_id,
            language_of(request.scope),
            top=None if around else top,
            around=n,
            period=period or None,
        )
        with members_only():
            return answer(await read_board(api.services, question))

    @get(
        "/me/display-name",
        operation_id="getDisplayName",
        summary="Get the display name",
        response_description="The name, or null.",
        opt=contract(),
    )
    async def name(self, request: Request[Any, Any, Any]) -> Answer[DisplayName]:
        """The name that others see on leaderboards."""
        api, member = await member_of(request.scope)
        check_query(request)
        with members_only():
            return answer(await read_own_name(api.services, member.program_id, member.member_id))

    @put(
        "/me/display-name",
        operation_id="updateDisplayName",
        summary="Choose a display name",
        response_description="The name, as others see it from now on.",
        opt=contract(body=DisplayNameRequest),
    )
    async def choose(self, request: Request[Any, Any, Any]) -> Answer[DisplayName]:
        """1 to 30 characters that can be seen, with a letter or a digit. Others may have the same name."""
        api, member = await member_of(request.scope)
        wanted = await read_json(request, _name)
        with members_only():
            chosen = await choose_name(api.services, member.program_id, member.member_id, wanted.name)
        if chosen is None:
            expected = f"expected 1 to {LONGEST_NAME} characters that can be seen, with a letter or a digit"
            raise invalid(FieldError("name", expected))
        return answer(chosen)

    @delete(
        "/me/display-name",
        status_code=200,
        operation_id="eraseDisplayName",
        summary="Erase the display name",
        response_description="Others see no name any more.",
        opt=contract(),
    )
    async def drop(self, request: Request[Any, Any, Any]) -> Answer[DisplayName]:
        """Repeating it changes nothing."""
        api, member = await member_of(request.scope)
        check_query(request)
        with members_only():
            await drop_name(api.services, member.program_id, member.member_id)
        return answer(DisplayName(None))
