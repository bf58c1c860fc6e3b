"""The credit of a prize in points."""

from datetime import datetime

from engage.domain.activity import GamePlay
from engage.domain.earning.credit import NewCredit, new_credit
from engage.domain.earning.terms import EarningTerms
from engage.domain.earning.trace import TraceCode, step
from engage.domain.games.definition import Game, Prize
from engage.domain.keys import game_play_key, game_rule


def prize_credit(
    terms: EarningTerms, game: Game, prize: Prize, *, run: int, number: int, at: datetime, zone: str
) -> NewCredit:
    """Return the credit of a play that won points: one for each play of the game's runs."""
    assert prize.points is not None
    rule = game_rule(game.id)
    return new_credit(
        terms,
        rule,
        prize.points,
        GamePlay(game_id=game.id, run=run, number=number),
        due=game.due,
        source_key=game_play_key(game.id, run, number),
        inputs={"prize": prize.id, "number": number},
        at=at,
        zone=zone,
        trace=[step(TraceCode.GAME_PRIZE, rule=rule, prize=prize.id, number=number, points=prize.points)],
    )
