"""The plays of a simulated member."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from engage.domain.calendar import local_date
from engage.domain.earning.credit import NewCredit
from engage.domain.games.chances import ChancesLeft, chances_left
from engage.domain.games.definition import Game
from engage.domain.games.outcome import Outcome, Tally, decide
from engage.domain.games.payment import prize_credit
from engage.domain.games.windows import first_day
from engage.domain.keys import game_rule
from engage.domain.refusals import Code, Refusal
from engage.domain.rewards.simulated import SimulatedRewards
from engage.domain.simulation.member import SimulatedFeature, SimulatedMember


class SimulatedPlay(Struct, frozen=True):
    """A play, what it won, and the chances that were left after it."""

    outcome: Outcome
    credits: list[NewCredit]
    left: ChancesLeft


class SimulatedGames(SimulatedFeature):
    """The plays of one member of all games. Nobody else plays, so every prize is there at the start."""

    def __init__(self, member: SimulatedMember, games: Sequence[Game]) -> None:
        self._member = member
        self._games = {game.id: game for game in games}
        self._plays: dict[str, list[datetime]] = {game.id: [] for game in games}
        self._tallies = {game.id: Tally.empty() for game in games}

    def play(self, game_id: str, draws: str | None, at: datetime) -> SimulatedPlay:
        """Play a game; the number of the play draws the prize `draws`.

        Raises Refusal not_found, no_chances_left, budget_exhausted.
        """
        zone = self._member.market.zone
        game = self._games.get(game_id)
        if game is None or not game.is_open(at, zone) or not self._member.offers(game_rule(game_id), at):
            raise Refusal(Code.NOT_FOUND)
        before = self._left(game, at, zone)
        if before.left == 0:
            raise Refusal(Code.NO_CHANCES_LEFT, resets_at=before.resets_at)
        plays = self._plays[game_id]
        self._check_budget(game, len(plays) + 1, at)
        plays.append(at)
        prize = next((prize for prize in game.prizes if prize.id == draws), None)
        day = local_date(at, zone)
        rewards = self._member.feature(SimulatedRewards)
        gift = rewards.gift(prize.reward) if prize is not None and prize.reward is not None else None
        sold_out = prize is not None and prize.reward is not None and gift is None
        outcome = decide(game, self._tallies[game_id], prize, player="", day=day, sold_out=sold_out)
        won = prize if outcome.prize is not None else None
        if won is not None and gift is not None:
            rewards.give(gift, at)
        credits: list[NewCredit] = []
        if won is not None and won.points is not None:
            terms = self._member.terms
            credits = [prize_credit(terms, game, won, run=1, number=len(plays), at=at, zone=zone)]
        credits = self._member.held_back("game_play", f"{game_id}:{len(plays)}", credits, at)
        for credit in credits:
            self._member.account.add(credit)
        return SimulatedPlay(outcome, credits, self._left(game, at, zone))

    def _check_budget(self, game: Game, number: int, at: datetime) -> None:
        """Raises Refusal budget_exhausted where the largest prize cannot be paid."""
        prizes = [prize for prize in game.prizes if prize.points is not None]
        if prizes:
            largest = max(prizes, key=lambda prize: prize.points or 0)
            terms, zone = self._member.terms, self._member.market.zone
            promised = prize_credit(terms, game, largest, run=1, number=number, at=at, zone=zone)
            self._member.check_budget([promised], at)

    def _left(self, game: Game, at: datetime, zone: str) -> ChancesLeft:
        window = first_day(game.chances.window, local_date(at, zone))
        played = [play for play in self._plays[game.id] if local_date(play, zone) >= window]
        last = played[-1] if played else None
        return chances_left(game.chances, played=len(played), last_play=last, at=at, zone=zone)
