"""A certificate proves every outcome of a game from itself alone, and nothing in it can be changed."""

import copy
import hmac
import json
from collections.abc import Iterator
from fractions import Fraction
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engage.domain.games.certificate import receipt, verify
from tests.domain.games.certificates import SEED, Run, game, names
from tests.support.generated_cases import cases


def played(plays: int = 60, players: int = 7) -> Run:
    run = Run(game())
    n = 0
    while len(run.plays) < plays:
        run.play(names(players)[n * 5 % players], day=n * 10 // (plays * 2))
        n += 1
    return run


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value inside a JSON value that is not a list or an object."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from places(item, (*path, key))
    else:
        yield path


def altered(certificate: dict[str, Any], path: tuple[Any, ...]) -> dict[str, Any]:
    changed = copy.deepcopy(certificate)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    match inner[path[-1]]:
        case int(number):
            inner[path[-1]] = number + 1
        case str(text):
            inner[path[-1]] = text[:-1] + ("0" if text[-1] != "0" else "1")
        case _:
            inner[path[-1]] = "ten"
    return changed


def test_a_true_certificate_has_nothing_wrong() -> None:
    run = played()
    assert verify(run.certificate()) == []
    assert {play["cut"] for play in run.plays} == {None, "stock", "per_day", "wins_per_member"}
    assert verify(json.loads(json.dumps(run.certificate()))) == []


def test_outcomes_can_be_recomputed_without_this_program() -> None:
    """The recipe of docs/games.md, written down once more."""
    run = played()
    for play in run.plays:
        attempt = 0
        size, limit = 12, 2**256 - 2**256 % 12
        while True:
            text = f'["play",{play["number"]},{attempt}]'.encode()
            number = int.from_bytes(hmac.digest(SEED, text, "sha256"), "big")
            if number < limit:
                break
            attempt += 1
        share = Fraction(number % size, size)
        drawn = "ten" if share < Fraction(1, 3) else "big" if share < Fraction(7, 12) else None
        assert play["drawn"] == drawn
    terms = json.dumps(run.terms, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    committed = f'{{"algorithm":"engage-game-1","seed":"{SEED.hex()}","terms":{terms}}}'
    assert run.commitment == sha256(committed.encode()).hexdigest()


def test_any_single_altered_field_is_noticed() -> None:
    certificate = played(plays=24).certificate()
    unnoticed = [path for path in places(certificate) if not verify(altered(certificate, path))]
    assert unnoticed == []


@pytest.mark.parametrize("where", ["plays", "mergers"])
def test_plays_and_mergers_cannot_be_added_left_out_or_moved(where: str) -> None:
    run = played(plays=12)
    run.merge(names(7)[0], names(7)[1])
    run.merge(names(7)[2], names(7)[3])
    certificate = run.certificate()
    listed = certificate[where]
    for changed in (listed[1:], listed[:-1], [listed[1], listed[0], *listed[2:]], [*listed, listed[-1]]):
        assert verify(certificate | {where: changed}) != []


@pytest.mark.parametrize("name", ["seed", "plays", "terms", "head", "digest"])
def test_a_missing_field_is_noticed(name: str) -> None:
    certificate = played(plays=3).certificate()
    del certificate[name]
    assert verify(certificate) != []
    assert verify(played(plays=3).certificate() | {"more": 1}) != []


@pytest.mark.parametrize("found", [None, [], "x", 7, {}])
def test_what_is_no_certificate_is_said_to_be_none(found: Any) -> None:
    assert verify(found)[0].startswith("not a certificate of a game: ")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"prize": "ten", "drawn": "ten", "cut": None}, "play 1: expected no prize, got the prize ten"),
        ({"day": "2027-01-01"}, "play 1: the game is not open on 2027-01-01"),
    ],
)
def test_a_forger_who_computes_all_digests_again_is_found_out(change: dict[str, Any], problem: str) -> None:
    run = played(plays=12)
    assert run.plays[0]["drawn"] is None
    run.plays[0] |= change
    assert problem in verify(forged(run))


def test_a_win_withheld_by_a_made_up_player_is_found_out() -> None:
    """A win that is cut for the wins of its player needs them in the list, under the same name."""
    run = played()
    play = next(play for play in run.plays if play["prize"] is not None)
    play |= {"prize": None, "cut": "wins_per_member"}
    assert f"play {play['number']}: expected the prize" in " ".join(verify(forged(run)))


def forged(run: Run) -> dict[str, Any]:
    """The certificate of changed plays, with all digests computed again."""
    run.head = run.commitment
    for play in run.plays:
        run.head = receipt(run.head, play)
    return run.certificate()


def test_more_plays_than_chances_are_found_out() -> None:
    run = Run(game(chances={"count": 1, "window": "ever"}))
    run.play("0" * 32, 0)
    run.played.clear()
    run.play("0" * 32, 1)
    assert verify(run.certificate()) == ["play 2: its player has no chance left"]


@settings(max_examples=cases(40))
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9), st.booleans()), max_size=60),
    st.sampled_from(["ever", "day", "week", "month"]),
    st.sampled_from(["ever", "day", "week", "month"]),
)
def test_whatever_is_played_and_merged_the_certificate_is_right_and_the_stock_holds(
    steps: list[tuple[int, int, bool]], chances: str, wins: str
) -> None:
    run = Run(
        game(
            chances={"count": 4, "window": chances, "extra_after": "PT15M"},
            wins_per_member={"count": 2, "window": wins},
        )
    )
    players = names(5)
    for n, day, merges in steps:
        player = players[n]
        if merges and player not in run.into and players[n - 1] not in run.into:
            run.merge(player, players[n - 1])
            run.into = {name: players[n - 1] if into == player else into for name, into in run.into.items()}
        else:
            run.play(player, day)
    assert verify(run.certificate()) == []
    won = [play["prize"] for play in run.plays]
    assert won.count("ten") <= 12
    assert won.count("big") <= 3
    per_day = [play["day"] for play in run.plays if play["prize"] == "big"]
    assert len(per_day) == len(set(per_day))
