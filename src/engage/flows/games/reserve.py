"""Reserve the largest prize of a play of a campaign with a budget, until it is known what the play wins.

A play draws its prize by its number, so nobody may know before it whether the budget is enough. A play that
could win what cannot be paid is refused, and has no number.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.games.kind import GAME
from engage.domain.keys import game_rule
from engage.domain.refusals import Code, Refusal
from engage.flows.games.player import GamePlayed, Player
from engage.runtime.batch import decide_each, not_refused
from engage.runtime.reservations import Promise, Reserved, give_back_rest, reserve
from engage.runtime.services import Services


async def reserve_largest(
    services: Services, conn: AsyncConnection, players: Sequence[Player | Refusal], *, now: datetime
) -> tuple[list[Player | Refusal], list[Reserved]]:
    """(the players, those that cannot be paid refused; what is reserved for each of the others)"""
    promises = [_promise(services, player) for player in not_refused(players)]
    taken = await reserve(services, conn, promises, now=now)
    answers = iter(taken)

    def check(player: Player) -> Player:
        """Raises Refusal budget_exhausted."""
        reserved = next(answers)
        if reserved.is_exhausted:
            raise Refusal(Code.BUDGET_EXHAUSTED, campaign=reserved.campaign)
        return player

    return decide_each(players, check), [each for each in taken if not each.is_exhausted]


async def give_back_unwon(
    conn: AsyncConnection,
    players: Sequence[Player | Refusal],
    reserved: Sequence[Reserved],
    answers: Sequence[GamePlayed | Refusal],
    *,
    now: datetime,
) -> None:
    """Give back what the plays of these players have not won."""
    played = [
        (player.recipient.member.key, answer)
        for player, answer in zip(players, answers, strict=True)
        if not isinstance(player, Refusal)
    ]
    paid = [(key, each, _won(answer)) for (key, answer), each in zip(played, reserved, strict=True)]
    await give_back_rest(conn, paid, now=now)


def _promise(services: Services, player: Player) -> Promise:
    """The largest prize in points. A run may go on under an earlier version of its game."""
    member, game_id = player.recipient.member, player.version.id
    games = [
        each.definition
        for each in services.definitions.every(GAME, member.program_id)
        if each.id == game_id and each.campaign is not None
    ]
    points = (prize.points for game in games for prize in game.prizes if prize.points is not None)
    return Promise(member.key, game_rule(game_id), max(points, default=0))


def _won(answer: GamePlayed | Refusal) -> int:
    return sum(credit.points for credit in answer.credits) if isinstance(answer, GamePlayed) else 0
