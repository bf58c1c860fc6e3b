"""Slots that the gate grants and refuses when nothing fails."""

import pytest
from msgspec.structs import replace

from engage.domain.earning.limits import OnceSlot, WindowSlot
from engage.gate import keys
from engage.gate.client import Gate
from tests.gate.claims import (
    GRANTED,
    LONDON,
    PROGRAM,
    REFUSED,
    UNKNOWN,
    capped_review,
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
    undo,
)


async def test_a_member_without_records_is_unknown_and_not_new(gate: Gate) -> None:
    assert await claim(gate, tap(1)) == (UNKNOWN, 0)
    assert await claim(gate, share()) == (UNKNOWN, 0)
    await load(gate)
    assert await claim(gate, tap(1)) == (GRANTED, 1)
    assert await claim(gate, share()) == (GRANTED, 1)


async def test_only_a_member_without_records_is_absent(gate: Gate) -> None:
    absent = await claim_all(gate, tap(1), share(), capped_review("a"))
    assert [claim.is_absent for claim in absent] == [True, True, False], "a key of its own may be there"
    await load(gate)
    await claim_all(gate, tap(1))
    (unsure,) = await claim_all(gate, tap(2))
    assert (unsure.status, unsure.is_absent) == (UNKNOWN, False), "the claim of day 1 has to be forgotten"


async def test_a_day_is_granted_once(gate: Gate) -> None:
    await load(gate)
    assert await taken(gate, tap(1)) == 1
    assert await claim(gate, tap(1)) == (REFUSED, 1)
    assert await claim(gate, tap(0)) == (UNKNOWN, 0), "the database knows whether it was used"


async def test_days_in_a_row_are_counted_and_a_missed_day_starts_again(gate: Gate) -> None:
    await load(gate)
    assert [await taken(gate, tap(day)) for day in range(1, 15)] == list(range(1, 15))
    assert await taken(gate, tap(16)) == 1
    assert await taken(gate, tap(17)) == 2


async def test_a_streak_continues_from_the_loaded_one(gate: Gate) -> None:
    await load(gate, streak(9, 41), today=10)
    assert await claim(gate, tap(9)) == (REFUSED, 41)
    assert await taken(gate, tap(10)) == 42


async def test_a_streak_of_another_zone_is_unknown(gate: Gate) -> None:
    await load(gate, streak(1, 5))
    assert await claim(gate, tap(2, zone=LONDON)) == (UNKNOWN, 0)
    assert await claim(gate, tap(2)) == (GRANTED, 6), "and it keeps its own zone"


@pytest.mark.parametrize("count", [1, 3, 31, 32])
async def test_the_slots_of_a_window_are_granted_in_order(gate: Gate, count: int) -> None:
    await load(gate)
    slot = share(count=count)
    answers = await claim_all(gate, *[slot] * count)
    assert [answer.status for answer in answers] == [GRANTED] * count
    assert [answer.number for answer in answers] == list(range(1, count + 1))
    assert [answer.left for answer in answers] == list(range(count - 1, -1, -1))
    for number in range(1, count + 1):
        await confirm(gate, slot, number)
    # The first time, the database is asked which of these slots are used.
    assert await claim(gate, slot) == (UNKNOWN, 0)


@pytest.mark.parametrize("count", [1, 3, 31, 32])
async def test_a_full_confirmed_window_is_refused(gate: Gate, count: int) -> None:
    await load(gate, places(*range(1, count + 1)))
    assert await claim(gate, share(count=count)) == (REFUSED, count)


async def test_free_slots_between_used_ones_are_granted(gate: Gate) -> None:
    await load(gate, places(1, 3))
    first, *_ = await claim_all(gate, share(count=4))
    assert (first.number, first.left) == (2, 1)
    assert await claim(gate, share(count=4)) == (GRANTED, 4)


async def test_a_smaller_limit_counts_only_its_own_slots(gate: Gate) -> None:
    await load(gate, places(1, 2, 5))
    assert await claim(gate, share(count=2)) == (REFUSED, 2)
    assert await claim(gate, share(count=3)) == (GRANTED, 3)


async def test_a_new_month_and_a_new_day_begin_with_free_slots(gate: Gate) -> None:
    await load(gate, places(1, 2, 3))
    assert await claim(gate, share(30)) == (REFUSED, 3)
    assert await claim(gate, share(31)) == (GRANTED, 1), "the first of December"
    assert await claim(gate, share(1)) == (UNKNOWN, 0), "of a month that is over the database knows"
    daily = [share(day, kind="day", count=1, rule="daily") for day in (1, 2)]
    assert [await claim(gate, slot) for slot in daily] == [(GRANTED, 1), (GRANTED, 1)]


async def test_rules_do_not_share_slots(gate: Gate) -> None:
    await load(gate)
    for rule in ("share_social", "share_link", "other"):
        assert await claim(gate, share(count=1, rule=rule)) == (GRANTED, 1)
    assert await taken(gate, tap(1)) == 1


async def test_members_do_not_share_slots(gate: Gate) -> None:
    for n in range(500):
        await load(gate, member=f"m-{n}")
    assert {await claim(gate, tap(1), member=f"m-{n}") for n in range(500)} == {(GRANTED, 1)}


async def test_a_once_slot_is_granted_until_it_is_confirmed(gate: Gate) -> None:
    assert await claim(gate, review("band")) == (GRANTED, 1)
    assert await claim(gate, review("band")) == (GRANTED, 1), "its caller may have died"
    await confirm(gate, review("band"), 1)
    assert await claim(gate, review("band")) == (REFUSED, 1)
    assert await claim(gate, review("watch")) == (GRANTED, 1)
    assert await claim(gate, OnceSlot("review")) == (GRANTED, 1), "a rule's own key is another one"
    assert await claim(gate, review("band"), member="m-2") == (GRANTED, 1)


async def test_a_slot_is_granted_with_one_of_each_further_limit(gate: Gate) -> None:
    await load(gate)
    first, second = await claim_all(gate, capped_review("a"), capped_review("b"))
    assert (first.status, second.status) == (GRANTED, GRANTED)
    assert [[(one.number, one.left) for one in claim.further] for claim in (first, second)] == [
        [(1, 1), (1, 2)],
        [(2, 0), (2, 1)],
    ]


async def test_a_further_limit_refuses_the_whole_and_is_named(gate: Gate) -> None:
    day, month = capped_review("c").further
    await load(gate, keys.window_record("review", "day", day.period, [1, 2]))
    (refused,) = await claim_all(gate, capped_review("c"))
    assert (refused.status, refused.own) == (REFUSED, GRANTED)
    assert refused.taken(capped_review("c")) == [day]
    assert (await gate.read(PROGRAM, "m-1")) == [keys.window_record("review", "day", day.period, [1, 2])]
    assert await claim(gate, capped_review("c", 2)) == (GRANTED, 1), "the next day is another window"
    assert month.period == capped_review("c", 2).further[1].period


async def test_a_slot_that_is_used_for_ever_claims_nothing_further(gate: Gate) -> None:
    await load(gate)
    await taken(gate, review("a"))
    (refused,) = await claim_all(gate, capped_review("a"))
    assert (refused.status, refused.taken(capped_review("a"))) == (REFUSED, [])
    assert await gate.read(PROGRAM, "m-1") == []


async def test_further_limits_of_a_member_who_is_not_loaded_are_unknown(gate: Gate) -> None:
    assert await claim(gate, capped_review("a")) == (UNKNOWN, 1)
    await load(gate)
    assert await claim(gate, capped_review("a")) == (GRANTED, 1)


async def test_a_rule_has_a_window_of_each_kind(gate: Gate) -> None:
    await load(gate)
    slot = WindowSlot("share", share().window, 3, further=(share(1, count=1, kind="day"),))
    assert await claim(gate, slot) == (GRANTED, 1)
    (second,) = await claim_all(gate, slot)
    assert second.status == UNKNOWN, "the first may not have reached the database"
    await undo(gate, slot)
    await load(gate, places(1), keys.window_record("share", "day", slot.further[0].period, [1]))
    (second,) = await claim_all(gate, slot)
    assert (second.status, second.own, second.taken(slot)) == (REFUSED, GRANTED, [slot.further[0]])


async def test_a_streak_day_with_a_further_limit(gate: Gate) -> None:
    monthly = share(2, count=1, rule="fuel")
    day = replace(tap(2), further=(monthly,))
    await load(gate, streak(1, 4))
    (first,) = await claim_all(gate, day)
    assert (first.status, first.number, first.further[0].number) == (GRANTED, 5, 1)
    await undo(gate, day)
    await load(gate, streak(1, 4), keys.window_record("fuel", "month", monthly.period, [1]))
    (refused,) = await claim_all(gate, day)
    assert (refused.status, refused.taken(day)) == (REFUSED, [monthly])
    assert await claim(gate, tap(2)) == (GRANTED, 5), "the streak was not touched"


async def test_undo_forgets_the_further_slots_of_a_once_slot(gate: Gate) -> None:
    await load(gate)
    await claim(gate, capped_review("a"))
    await undo(gate, capped_review("a"))
    assert await gate.read(PROGRAM, "m-1") is None
