"""The outcome of a play: the prize that its number draws, and the limits that may cut it.

The server decides with the same functions that `engage game verify` recomputes with.
"""

from collections import Counter
from datetime import date
from typing import Literal

from msgspec import Struct

from engage.domain.fairness.sampling import sample
from engage.domain.games.definition import Game, Prize
from engage.domain.games.odds import prize_at, range_of
from engage.domain.games.windows import first_day

# Why a drawn prize was not won. The last one depends on the catalogue of rewards, beyond the game.
Cut = Literal["stock", "per_day", "wins_per_member", "reward_sold_out"]

PLAY = "play"


class Outcome(Struct, frozen=True):
    """`drawn` is the prize of the number, `prize` the one that was won: the same, or None with a `cut`."""

    drawn: str | None
    prize: str | None
    cut: Cut | None = None


def draw(game: Game, seed: bytes, number: int) -> Prize | None:
    """Return the prize that a play's number draws. `sample` says how; the subject is `["play", number]`."""
    return prize_at(game.prizes, sample(seed, [PLAY, number], range_of(game.prizes)))


class Tally(Struct):
    """The prizes won so far: of each, of each on a day, and by each player in a window (its first day)."""

    won: Counter[str]
    won_on: Counter[tuple[str, date]]
    wins: Counter[tuple[str, date]]

    @classmethod
    def empty(cls) -> "Tally":
        return cls(Counter(), Counter(), Counter())


def decide(
    game: Game, tally: Tally, prize: Prize | None, *, player: str, day: date, sold_out: bool = False
) -> Outcome:
    """Decide what a play wins on a local day, and count it. `sold_out`: the catalogue has no more of the
    prize's reward.

    The limits are asked in this order, and the first one cuts: stock, per day, wins per member, catalogue.
    """
    if prize is None:
        return Outcome(None, None)
    limit = game.wins_per_member
    window = None if limit is None else (player, first_day(limit.window, day))
    cut: Cut | None = None
    if tally.won[prize.id] >= prize.stock:
        cut = "stock"
    elif prize.per_day is not None and tally.won_on[prize.id, day] >= prize.per_day:
        cut = "per_day"
    elif limit is not None and window is not None and tally.wins[window] >= limit.count:
        cut = "wins_per_member"
    elif sold_out:
        cut = "reward_sold_out"
    if cut is not None:
        return Outcome(prize.id, None, cut)
    tally.won[prize.id] += 1
    tally.won_on[prize.id, day] += 1
    if window is not None:
        tally.wins[window] += 1
    return Outcome(prize.id, prize.id)
