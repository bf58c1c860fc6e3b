"""The credit of a prize of a leaderboard."""

from datetime import datetime

from engage.domain.activity import BoardRank
from engage.domain.earning.credit import NewCredit, new_credit
from engage.domain.earning.terms import EarningTerms
from engage.domain.earning.trace import TraceCode, step
from engage.domain.keys import board_key, board_rule
from engage.domain.leaderboards.definition import Leaderboard


def rank_credit(
    terms: EarningTerms, board: Leaderboard, *, period: str, rank: int, points: int, at: datetime, zone: str
) -> NewCredit:
    """Return the credit of a rank at the end of a period: one for each rank."""
    rule = board_rule(board.id)
    return new_credit(
        terms,
        rule,
        points,
        BoardRank(board_id=board.id, period=period, rank=rank),
        due=board.due,
        source_key=board_key(board.id, period, rank),
        inputs={"period": period, "rank": rank},
        at=at,
        zone=zone,
        trace=[step(TraceCode.BOARD_RANK, rule=rule, rank=rank, points=points)],
    )
