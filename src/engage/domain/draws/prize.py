"""The credit of a prize, due as the draw says."""

from datetime import datetime

from engage.domain.activity import DrawPrize
from engage.domain.draws.definition import Draw
from engage.domain.earning.credit import NewCredit, new_credit
from engage.domain.earning.terms import EarningTerms
from engage.domain.earning.trace import TraceCode, step
from engage.domain.keys import draw_reference


def rule_id_of(draw_id: str) -> str:
    """The rule that a draw's credits name."""
    return f"draw:{draw_id}"


def prize(
    terms: EarningTerms,
    draw: Draw,
    *,
    version: str,
    number: int,
    entries: int,
    round_number: int,
    at: datetime,
    zone: str,
) -> NewCredit:
    """The credit of the winner with a number, drawn at `at`. `version` is the draw's."""
    rule_id = rule_id_of(draw.id)
    return new_credit(
        terms,
        rule_id,
        draw.points,
        DrawPrize(draw_id=draw.id, number=number),
        due=draw.due,
        source_key=draw_reference(draw.id, number),
        inputs={"draw": draw.id, "version": version, "number": number, "round": round_number},
        at=at,
        zone=zone,
        trace=[
            step(
                TraceCode.DRAW_WON,
                rule=rule_id,
                points=draw.points,
                number=number,
                entries=entries,
                round=round_number,
            )
        ],
    )
