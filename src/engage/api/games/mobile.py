"""Games: list, play, and check."""

from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final
from uuid import UUID

from litestar import Controller, Request, get, post
from litestar.params import PathParameter
from msgspec import Struct

from engage.api.http.answers import NOT_STORED, Answer, answer
from engage.api.http.batching import BatchedFlow
from engage.api.http.bodies import EmptyRequest, check_query, read_empty
from engage.api.http.callers import member_idempotency, member_of, members_only, protected_origin
from engage.api.http.credits import EarnedCredit, earned
from engage.api.http.idempotency import keyed
from engage.api.http.operation import MEMBER, Repeat, contract
from engage.api.http.problems import language_of
from engage.domain.games.certificate import GameCertificate
from engage.domain.refusals import UseCase
from engage.flows.games.certificates import read_certificate
from engage.flows.games.play import play
from engage.flows.games.player import GamePlayed, PlayRequest, WonPrize
from engage.flows.games.read import GameView, list_games, read_game
from engage.flows.rewards.coupons import CouponView

GameIdParameter = Annotated[str, PathParameter(description="The id of the game.")]


class GameList(Struct, frozen=True):
    """The games that are open for the member. `next_cursor` is always null."""

    items: list[GameView]
    next_cursor: str | None


# Plays of a run are numbered one batch after the other, so more in flight would only wait for each other.
PLAY: Final = BatchedFlow(play, max_size=128)


class PlayResult(Struct, frozen=True, kw_only=True):
    """A play. `number` and `player` find it in the certificate, and `receipt` proves that it stands there
    unchanged. A prize is a credit of points, or a coupon.
    """

    play_id: UUID
    number: int
    player: str
    receipt: str
    prize: WonPrize | None
    credits: list[EarnedCredit]
    coupon: CouponView | None
    chances_left: int
    resets_at: datetime | None


def _played(played: GamePlayed, language: str) -> Answer[PlayResult]:
    result = PlayResult(
        play_id=played.play_id,
        number=played.number,
        player=played.player,
        receipt=played.receipt,
        prize=played.prize,
        credits=earned(played.credits, language),
        coupon=played.coupon,
        chances_left=played.chances_left,
        resets_at=played.resets_at,
    )
    return answer(result, 202)


class GameController(Controller):
    path = "/v1/games"
    tags = ("Games",)
    security = (MEMBER,)

    @get(
        operation_id="listGames",
        summary="List games",
        response_description="The games that are open.",
        opt=contract(UseCase.LIST_GAMES),
    )
    async def games(self, request: Request[Any, Any, Any]) -> Answer[GameList]:
        """With the chances that the member has left."""
        api, member = await member_of(request.scope)
        check_query(request)
        with members_only():
            games = await list_games(
                api.services, member.program_id, member.member_id, language_of(request.scope)
            )
        return answer(GameList(games, None))

    @get(
        "/{game_id:str}",
        operation_id="getGame",
        summary="Get a game",
        response_description="The game, before, while or after it is open.",
        opt=contract(UseCase.READ_GAME),
    )
    async def game(self, request: Request[Any, Any, Any], game_id: GameIdParameter) -> Answer[GameView]:
        """Its `commitment` fixes all outcomes before the first play."""
        api, member = await member_of(request.scope)
        check_query(request)
        with members_only():
            found = await read_game(
                api.services, member.program_id, member.member_id, game_id, language_of(request.scope)
            )
        return answer(found)

    @post(
        "/{game_id:str}/plays",
        status_code=202,
        middleware=(member_idempotency(),),
        operation_id="playGame",
        summary="Play a game",
        response_description="The play is made. Points that it won are pending.",
        opt=contract(UseCase.PLAY_GAME, body=EmptyRequest, body_optional=True, repeat=Repeat.KEY),
    )
    async def play(self, request: Request[Any, Any, Any], game_id: GameIdParameter) -> Answer[PlayResult]:
        """Takes one of the member's chances, whether it wins or not."""
        api, member = await member_of(request.scope)
        await read_empty(request)
        language = language_of(request.scope)
        shape = partial(_played, language=language)
        key = keyed(request.scope, shape)
        origin = protected_origin(api, request.scope, member)
        wanted = PlayRequest(member.program_id, member.member_id, game_id, language, key, origin)
        with members_only():
            return shape(await api.batchers.submit(PLAY, wanted))

    @get(
        "/{game_id:str}/certificate",
        operation_id="getGameCertificate",
        summary="Get the certificate of a game",
        response_description="The seed and all plays. `engage game verify` checks them.",
        opt=contract(UseCase.READ_GAME),
    )
    async def certificate(
        self, request: Request[Any, Any, Any], game_id: GameIdParameter
    ) -> Answer[GameCertificate]:
        """Once the game has ended for every member. It needs nothing else to be checked, and names nobody."""
        api, member = await member_of(request.scope)
        check_query(request)
        with members_only():
            body = await read_certificate(api.services, member.program_id, game_id)
        return Answer(body, NOT_STORED, 200)
