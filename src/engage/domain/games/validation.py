"""Validation of games."""

from collections.abc import Iterator
from datetime import timedelta

from engage.domain.document.durations import duration_problems
from engage.domain.document.errors import Problem, duplicate_names, nearest, shown
from engage.domain.earning.on import On
from engage.domain.feature.section import Context
from engage.domain.games.definition import Game, Prize
from engage.domain.games.odds import LARGEST_RANGE, odds_of, range_of

SHORTEST_EXTRA, LONGEST_EXTRA = timedelta(seconds=1), timedelta(days=31)

# `due` of a definition has no activity that could be delivered or confirmed.
_NO_ACTIVITY = On(activity="fuel_tap")


def problems(game: Game, path: str, context: Context) -> Iterator[Problem]:
    yield from game.schedule_problems(path)
    extra = game.chances.extra_after
    yield from duration_problems(f"{path}.chances.extra_after", extra, SHORTEST_EXTRA, LONGEST_EXTRA)
    yield from game.due.problems(_NO_ACTIVITY, path)
    yield from duplicate_names([prize.id for prize in game.prizes], f"{path}.prizes", "id")
    for n, prize in enumerate(game.prizes):
        yield from _prize_problems(prize, f"{path}.prizes[{n}]", context)
    if any(odds_of(prize) > 1 for prize in game.prizes):
        return
    total = sum(odds_of(prize) for prize in game.prizes)
    if total > 1:
        yield Problem(f"{path}.prizes", "odds that add up to 1 or less", str(total))
    elif range_of(game.prizes) > LARGEST_RANGE:
        yield Problem(f"{path}.prizes", "odds with simpler denominators", "no common one below 2^63")


def _prize_problems(prize: Prize, path: str, context: Context) -> Iterator[Problem]:
    if (prize.points is None) == (prize.reward is None):
        found = "nothing" if prize.points is None else "both"
        yield Problem(path, "either points or a reward", found)
    if prize.reward is not None and prize.reward not in context.ids.get("rewards", ()):
        found = shown(prize.reward) + nearest(prize.reward, context.ids.get("rewards", ()))
        yield Problem(f"{path}.reward", "the id of a reward", found)
    if odds_of(prize) > 1:
        yield Problem(f"{path}.odds", "1/1 or less", prize.odds)
