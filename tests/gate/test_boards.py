"""Boards in Valkey stand in the right order, whatever comes twice, late or while they are loaded."""

from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st

from engage.gate.boards import COMPLETE, LOADING, BoardRow, sort_bytes
from engage.gate.client import Gate
from tests.support.generated_cases import cases

START = datetime(2026, 11, 21, tzinfo=UTC)
BOARD = ("market", "week", "2026-11-16")


def row(member_id: str, score: int, *, at: int = 0, version: int = 1) -> BoardRow:
    return BoardRow(member_id, score, START + timedelta(microseconds=at), version)


async def names(gate: Gate) -> list[tuple[int, str, int]]:
    part = await gate.boards.top(BOARD, 100)
    assert part is not None
    assert part.members == len(part.places)
    return [(place.rank, place.member_id, place.score) for place in part.places]


async def test_an_unknown_board_has_no_answer_and_takes_no_rows(gate: Gate) -> None:
    await gate.boards.update(BOARD, [row("a", 5)])
    assert await gate.boards.top(BOARD, 10) is None
    assert await gate.boards.around(BOARD, "a", 2) is None
    assert await gate.boards.load(BOARD, [row("b", 1)], state="", then=COMPLETE)
    assert await names(gate) == [(1, "b", 1)]


async def test_higher_scores_stand_first_then_who_reached_them_first(gate: Gate) -> None:
    exact = 2**53
    rows = [row("d", 7, at=1), row("a", 7, at=2), row("b", exact), row("c", exact + 1), row("e", 0)]
    await gate.boards.load(BOARD, rows, state="", then=COMPLETE)
    expected = [(1, "c", exact + 1), (2, "b", exact), (3, "d", 7), (4, "a", 7)]
    assert await names(gate) == expected, "scores beyond 2^53 are told apart"


async def test_the_places_around_a_member(gate: Gate) -> None:
    await gate.boards.load(BOARD, [row(f"m{n}", 100 - n) for n in range(9)], state="", then=COMPLETE)
    for member_id, ranks in (("m4", [3, 4, 5, 6, 7]), ("m0", [1, 2, 3]), ("m8", [7, 8, 9])):
        part = await gate.boards.around(BOARD, member_id, 2)
        assert part is not None
        assert [place.rank for place in part.places] == ranks
    nobody = await gate.boards.around(BOARD, "x", 2)
    assert nobody is not None
    assert (nobody.members, nobody.places) == (9, [])


async def test_an_older_version_changes_nothing(gate: Gate) -> None:
    await gate.boards.load(BOARD, [row("a", 5, version=2)], state="", then=COMPLETE)
    await gate.boards.update(BOARD, [row("a", 9, version=1)])
    await gate.boards.update(BOARD, [row("a", 9, version=2)])
    assert await names(gate) == [(1, "a", 5)]
    await gate.boards.update(BOARD, [row("a", 0, version=3)])
    await gate.boards.update(BOARD, [row("a", 5, version=2)])
    assert await names(gate) == []


async def test_a_loading_that_another_one_or_a_loss_has_overtaken_stops(gate: Gate) -> None:
    assert await gate.boards.load(BOARD, [row("a", 5)], state="", then=LOADING + "a")
    assert not await gate.boards.load(BOARD, [row("a", 5)], state="", then=LOADING + "a")
    await gate.boards.update(BOARD, [row("z", 9, version=2)])
    assert await gate.boards.top(BOARD, 10) is None, "not whole yet"
    assert await gate.boards.load(BOARD, [row("z", 1)], state=LOADING + "a", then=COMPLETE)
    assert await names(gate) == [(1, "z", 9), (2, "a", 5)]
    await gate.forget_all()
    assert await gate.boards.state(BOARD) == ""
    assert not await gate.boards.load(BOARD, [row("z", 1)], state=LOADING + "a", then=COMPLETE)
    assert await gate.boards.top(BOARD, 10) is None


@limits(max_examples=cases(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from("abcde"), st.integers(0, 3), st.integers(0, 3), st.integers(1, 6)),
        max_size=25,
    )
)
async def test_the_newest_versions_are_in_order(gate: Gate, changes: list[tuple[str, int, int, int]]) -> None:
    await gate.forget_all()
    await gate.boards.load(BOARD, [], state="", then=COMPLETE)
    newest: dict[str, BoardRow] = {}
    for member_id, score, at, version in changes:
        changed = row(member_id, score, at=at, version=version)
        await gate.boards.update(BOARD, [changed])
        if member_id not in newest or newest[member_id].version < version:
            newest[member_id] = changed
    on_board = sorted((sort_bytes(r), r) for r in newest.values() if r.score) if newest else []
    expected = [(n, r.member_id, r.score) for n, (_, r) in enumerate(on_board, start=1)]
    assert await names(gate) == expected
