"""What the gate gives and refuses when nothing goes wrong."""

import pytest

from engage.domain.earning.limits import OnceSlot
from engage.gate.client import Gate
from tests.gate.asking import (
    GRANTED,
    LONDON,
    REFUSED,
    UNKNOWN,
    claim,
    claim_all,
    confirm,
    load,
    places,
    review,
    share,
    streak,
    taken,
    tap,
)


async def test_a_member_that_was_never_heard_of_is_unknown_and_not_new(gate: Gate) -> None:
    assert await claim(gate, tap(1)) == (UNKNOWN, 0)
    assert await claim(gate, share()) == (UNKNOWN, 0)
    await load(gate)
    assert await claim(gate, tap(1)) == (GRANTED, 1)
    assert await claim(gate, share()) == (GRANTED, 1)


async def test_a_day_is_given_once(gate: Gate) -> None:
    await load(gate)
    assert await taken(gate, tap(1)) == 1
    assert await claim(gate, tap(1)) == (REFUSED, 1)
    assert await claim(gate, tap(0)) == (REFUSED, 1)


async def test_days_in_a_row_are_counted_and_a_missed_day_starts_again(gate: Gate) -> None:
    await load(gate)
    assert [await taken(gate, tap(day)) for day in range(1, 15)] == list(range(1, 15))
    assert await taken(gate, tap(16)) == 1
    assert await taken(gate, tap(17)) == 2


async def test_a_streak_goes_on_from_what_the_database_knew(gate: Gate) -> None:
    await load(gate, streak(9, 41), today=10)
    assert await claim(gate, tap(9)) == (REFUSED, 41)
    assert await taken(gate, tap(10)) == 42


async def test_a_streak_of_another_zone_is_for_the_database_to_tell(gate: Gate) -> None:
    await load(gate, streak(1, 5))
    assert await claim(gate, tap(2, zone=LONDON)) == (UNKNOWN, 0)
    assert await claim(gate, tap(2)) == (GRANTED, 6), "and it keeps its own zone"


@pytest.mark.parametrize("count", [1, 3, 31, 32])
async def test_a_window_has_its_places_from_the_first_to_the_last(gate: Gate, count: int) -> None:
    await load(gate)
    slot = share(count=count)
    answers = await claim_all(gate, *[slot] * count)
    assert [answer.status for answer in answers] == [GRANTED] * count
    assert [answer.number for answer in answers] == list(range(1, count + 1))
    assert [answer.left for answer in answers] == list(range(count - 1, -1, -1))
    for number in range(1, count + 1):
        await confirm(gate, slot, number)
    # Which of these places the database took is asked once; then it is known.
    assert await claim(gate, slot) == (UNKNOWN, 0)


@pytest.mark.parametrize("count", [1, 3, 31, 32])
async def test_a_full_window_is_refused_without_asking_again(gate: Gate, count: int) -> None:
    await load(gate, places(*range(1, count + 1)))
    assert await claim(gate, share(count=count)) == (REFUSED, count)


async def test_free_places_between_used_ones_are_given(gate: Gate) -> None:
    await load(gate, places(1, 3))
    first, *_ = await claim_all(gate, share(count=4))
    assert (first.number, first.left) == (2, 1)
    assert await claim(gate, share(count=4)) == (GRANTED, 4)


async def test_a_limit_that_became_smaller_counts_its_own_places(gate: Gate) -> None:
    await load(gate, places(1, 2, 5))
    assert await claim(gate, share(count=2)) == (REFUSED, 2)
    assert await claim(gate, share(count=3)) == (GRANTED, 3)


async def test_a_new_month_and_a_new_day_begin_empty(gate: Gate) -> None:
    await load(gate, places(1, 2, 3))
    assert await claim(gate, share(30)) == (REFUSED, 3)
    assert await claim(gate, share(31)) == (GRANTED, 1), "the first of December"
    assert await claim(gate, share(1)) == (UNKNOWN, 0), "of a month that is over the database knows"
    daily = [share(day, kind="day", count=1, rule="daily") for day in (1, 2)]
    assert [await claim(gate, slot) for slot in daily] == [(GRANTED, 1), (GRANTED, 1)]


async def test_rules_do_not_share_their_places(gate: Gate) -> None:
    await load(gate)
    for rule in ("share_social", "share_link", "other"):
        assert await claim(gate, share(count=1, rule=rule)) == (GRANTED, 1)
    assert await taken(gate, tap(1)) == 1


async def test_members_do_not_share_anything(gate: Gate) -> None:
    for n in range(500):
        await load(gate, member=f"m-{n}")
    assert {await claim(gate, tap(1), member=f"m-{n}") for n in range(500)} == {(GRANTED, 1)}


async def test_a_key_is_given_until_the_database_has_taken_it(gate: Gate) -> None:
    assert await claim(gate, review("band")) == (GRANTED, 1)
    assert await claim(gate, review("band")) == (GRANTED, 1), "its caller may have died"
    await confirm(gate, review("band"), 1)
    assert await claim(gate, review("band")) == (REFUSED, 1)
    assert await claim(gate, review("watch")) == (GRANTED, 1)
    assert await claim(gate, OnceSlot("review")) == (GRANTED, 1), "a rule's own key is another one"
    assert await claim(gate, review("band"), member="m-2") == (GRANTED, 1)
