"""Credits of two accounts fit into the limits of one."""

from datetime import UTC, date, datetime, timedelta
from typing import Literal
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from engage.domain.earning.definition import Rule
from engage.domain.earning.merged_slots import ClosingCredit, SlotOf, SurvivorSlots, fit
from engage.domain.program.parse import parse
from tests.support.activities import CAPPED

PROGRAM = parse(CAPPED[0], source="test")
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY, MONTH = date(2026, 11, 21), date(2026, 11, 1)
State = Literal["pending", "active", "reversed"]
states = st.sampled_from(["pending", "active", "reversed"])


def leader_of(credit: ClosingCredit) -> Rule | None:
    rules = PROGRAM.earning.rules
    return rules.leader(credit.rule_id) if credit.rule_id in rules.by_id else None


def social(n: int, state: State, *, day_slot: int, month_slot: int) -> ClosingCredit:
    """A share on a network: three a month, and two a day."""
    return ClosingCredit(
        id=UUID(int=n),
        source_key=f"share_social:2026-11:{month_slot}",
        beside=None,
        reference=f"share:{n}",
        rule_id="share_social",
        program_version="first",
        state=state,
        points=5,
        unit="points",
        activity_at=NOON + timedelta(minutes=n),
        active_at=None,
        of_day=DAY,
        day_slot=day_slot,
        of_month=MONTH,
        month_slot=month_slot,
        decided_by="share_social",
        day=None,
    )


def used(*, days: set[int], months: set[int]) -> SurvivorSlots:
    return SurvivorSlots(
        {f"share_social:2026-11:{n}" for n in months},
        set(),
        {SlotOf("share_social", "day", DAY): set(days), SlotOf("share_social", "month", MONTH): set(months)},
    )


def test_a_taken_slot_is_exchanged_for_a_free_one() -> None:
    found = fit([social(1, "pending", day_slot=1, month_slot=1)], used(days={1}, months={1}), leader_of)
    (move,) = found.moves
    assert (move.source_key, move.day_slot, move.month_slot) == ("share_social:2026-11:2", 2, 2)
    assert found.exceeding == set()


def test_active_credits_come_before_pending_ones() -> None:
    credits = [
        social(1, "pending", day_slot=1, month_slot=1),
        social(2, "active", day_slot=2, month_slot=2),
    ]
    found = fit(credits, used(days={1}, months={1}), leader_of)
    assert [move.id.int for move in found.moves] == [2]
    assert {id_.int for id_ in found.exceeding} == {1}


def test_a_pending_credit_without_a_place_in_a_further_limit_exceeds() -> None:
    found = fit([social(1, "pending", day_slot=1, month_slot=1)], used(days={1, 2}, months=set()), leader_of)
    assert (found.moves, {id_.int for id_ in found.exceeding}) == ([], {1})


def test_an_active_credit_without_a_place_in_a_further_limit_goes_on_without_it() -> None:
    found = fit([social(1, "active", day_slot=1, month_slot=1)], used(days={1, 2}, months=set()), leader_of)
    (move,) = found.moves
    assert (move.of_day, move.day_slot, move.month_slot) == (None, None, 1)


def test_an_activity_that_the_survivor_knows_exceeds() -> None:
    survivor = used(days=set(), months=set())
    survivor.references.add(("share:1", "share_social"))
    found = fit([social(1, "pending", day_slot=1, month_slot=1)], survivor, leader_of)
    assert (found.moves, len(found.exceeding)) == ([], 1)


@given(st.lists(states, max_size=3), st.sets(st.integers(1, 2)), st.sets(st.integers(1, 3)))
def test_a_merger_never_pays_above_a_limit(of_member: list[State], days: set[int], months: set[int]) -> None:
    credits = [social(n, state, day_slot=n % 2 + 1, month_slot=n + 1) for n, state in enumerate(of_member)]
    found = fit(credits, used(days=days, months=months), leader_of)
    by_id = {credit.id: credit for credit in credits}
    moved = [move for move in found.moves if by_id[move.id].state == "pending"]
    assert len(moved) <= max(2 - len(days), 0)
    assert len(moved) <= max(3 - len(months), 0)
    # No two credits have one place or key, and pending ones have all.
    taken = [(m.of_day, m.day_slot) for m in found.moves if m.day_slot is not None]
    assert len(set(taken)) == len(taken)
    assert {slot for _, slot in taken} <= {1, 2} - days
    keys = [m.source_key for m in found.moves]
    assert len(set(keys)) == len(keys)
    assert all(m.day_slot is not None and m.month_slot is not None for m in moved)
    pending = {credit.id for credit in credits if credit.state == "pending"}
    assert found.exceeding | {move.id for move in moved} == pending
