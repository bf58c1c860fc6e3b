"""Games in documents: what is refused, and where."""

from collections import Counter
from typing import Any

import msgspec
import pytest

from engage.domain.feature.section import Context
from engage.domain.games.definition import Game
from engage.domain.games.odds import prize_at, range_of
from engage.domain.games.outcome import draw
from engage.domain.games.validation import problems
from tests.domain.games.certificates import SEED, game

CONTEXT = Context(None, {"rewards": ["coupon_5"]})


def prize(**changes: Any) -> dict[str, Any]:
    return {"id": "p", "title": {"en": "P"}, "odds": "1/2", "stock": 5, "points": 10} | changes


def found_problems(**changes: Any) -> list[str]:
    return [str(problem) for problem in problems(game(**changes), "$", CONTEXT)]


def test_a_sound_game_has_no_problems() -> None:
    assert found_problems() == []
    assert found_problems(prizes=[prize(points=None, reward="coupon_5")]) == []
    assert found_problems(prizes=[prize(odds="1/1")]) == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"prizes": [prize(), prize()]}, "$.prizes[1].id: expected a unique id"),
        ({"prizes": [prize(reward="coupon_5")]}, "$.prizes[0]: expected either points or a reward, got both"),
        ({"prizes": [prize(points=None)]}, "$.prizes[0]: expected either points or a reward, got nothing"),
        ({"prizes": [prize(points=None, reward="coupon_6")]}, "did you mean coupon_5?"),
        ({"prizes": [prize(odds="3/2")]}, "$.prizes[0].odds: expected 1/1 or less, got 3/2"),
        ({"prizes": [prize(odds="2/3"), prize(id="q", odds="1/2")]}, "add up to 1 or less, got 7/6"),
        (
            {"prizes": [prize(id=f"p{n}", odds=f"1/{n}") for n in (999999937, 999999929, 999999893)]},
            "odds with simpler denominators",
        ),
        ({"until": "2026-11-19T00:00:00"}, "$.until: expected a time after from"),
        ({"chances": {"count": 1, "window": "day", "extra_after": "PT0S"}}, "$.chances.extra_after"),
        ({"due": {"type": "after", "delay": "P400D"}}, "$.due.delay"),
    ],
)
def test_an_unsound_game_names_its_problem(changes: dict[str, Any], problem: str) -> None:
    assert problem in " ".join(found_problems(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"from": None},
        {"until": None},
        {"chances": {"count": 0, "window": "day"}},
        {"chances": {"count": 1, "window": "year"}},
        {"prizes": []},
        {"prizes": [prize(odds="0/5")]},
        {"prizes": [prize(odds="5%")]},
        {"prizes": [prize(stock=0)]},
        {"prizes": [prize(per_day=0)]},
        {"due": {"type": "on_delivery"}},
        {"unknown": 1},
    ],
)
def test_a_value_of_the_wrong_shape_is_no_game(changes: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        game(**changes)


def test_each_prize_has_its_share_of_the_range() -> None:
    of = game()
    size = range_of(of.prizes)
    drawn = Counter(found.id if (found := prize_at(of.prizes, n)) else "" for n in range(size))
    assert (size, drawn) == (12, {"ten": 4, "big": 3, "": 5})


def test_plays_draw_prizes_as_often_as_their_odds_say() -> None:
    of = game()
    drawn = Counter(won.id if (won := draw(of, SEED, n)) else "" for n in range(1, 6_001))
    for name, expected in (("ten", 2_000), ("big", 1_500), ("", 2_500)):
        assert abs(drawn[name] - expected) < 150, "four standard deviations"


def test_a_game_can_be_read_back_from_what_is_written() -> None:
    assert msgspec.json.decode(msgspec.json.encode(game()), type=Game) == game()
