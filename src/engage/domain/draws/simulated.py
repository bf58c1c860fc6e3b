"""The entries of a simulated member, who is the only one to enter: at the round they win."""

from collections.abc import Sequence
from datetime import datetime

from engage.domain.draws.beacon import QUICKNET
from engage.domain.draws.conditions import check_post
from engage.domain.draws.definition import Draw, Post
from engage.domain.draws.prize import prize, rule_id_of
from engage.domain.earning.credit import NewCredit
from engage.domain.refusals import Code, Refusal
from engage.domain.simulation.member import SimulatedFeature, SimulatedMember


class SimulatedDraws(SimulatedFeature):
    """Draws by id, as one member sees them."""

    def __init__(self, member: SimulatedMember, draws: Sequence[Draw]) -> None:
        self._member = member
        self._draws = {draw.id: draw for draw in draws}
        self._entered: dict[str, Draw] = {}
        self._won: set[str] = set()

    def enter(self, draw_id: str, post: Post | None, at: datetime) -> None:
        """Raises Refusal not_found, draw_closed, entry_rejected, already_entered, budget_exhausted."""
        draw, zone = self._draws.get(draw_id), self._member.market.zone
        if draw is None or at < draw.opened_at(zone) or not self._member.offers(rule_id_of(draw_id), at):
            raise Refusal(Code.NOT_FOUND)
        closes_at = draw.closed_at([zone])
        if at >= closes_at:
            raise Refusal(Code.DRAW_CLOSED, closes_at=closes_at)
        check_post(draw.conditions, post)
        if draw_id in self._entered:
            raise Refusal(Code.ALREADY_ENTERED, number=1)
        self._member.check_budget([self._prize(draw)], at)
        self._entered[draw_id] = draw

    def advance(self, at: datetime) -> None:
        """Pay the prizes of the draws that are drawn by `at`."""
        for draw in self._entered.values():
            drawn_at = QUICKNET.time_of(self._round(draw))
            if draw.id not in self._won and drawn_at <= at:
                self._won.add(draw.id)
                won = self._prize(draw)
                if not self._member.unpaid([won], drawn_at):
                    self._member.account.add(won)

    def _round(self, draw: Draw) -> int:
        return QUICKNET.first_after(draw.closed_at([self._member.market.zone]) + draw.round_after)

    def _prize(self, draw: Draw) -> NewCredit:
        terms, number = self._member.terms, self._round(draw)
        return prize(
            terms,
            draw,
            version=terms.version,
            number=1,
            entries=1,
            round_number=number,
            at=QUICKNET.time_of(number),
            zone=self._member.market.zone,
        )
