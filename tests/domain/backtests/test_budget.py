"""The budget of a draft: however a population is divided, the same points are left as in one sequence."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engage.domain.backtests.budget import (
    Accepted,
    Hours,
    UsedByMember,
    add_events,
    add_hours,
    cut_of,
    ending_hour,
    is_since,
    total_left,
    within_member_limits,
)
from engage.domain.backtests.sums import Event
from engage.domain.campaigns.budget import Left, Wanted, within
from engage.domain.campaigns.definition import Budget, Campaign
from tests.domain.campaigns.campaigns import campaign

HOUR_US = 3_600_000_000
limits = st.none() | st.integers(1, 60)


def draft(budget: Budget) -> Campaign:
    return replace(campaign(), budget=budget)


@st.composite
def events(draw: st.DrawFn) -> list[Event]:
    """Events of a few hours, some at the same time, in any order."""
    wanted = draw(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 9), st.booleans()), max_size=30))
    found = [
        Event(quarter * HOUR_US // 4, n.to_bytes(16), 0, points, points, {}, whole)
        for n, (quarter, points, whole) in enumerate(wanted)
    ]
    return draw(st.permutations(found))


def left_of(campaign: Campaign, left: Left, all_events: list[Event], parts: int) -> dict[bytes, int]:
    """The points that each event gets, when the events are divided into parts."""
    divided = [all_events[n::parts] for n in range(parts)]
    hours = Hours()
    for part in divided:
        of_part = Hours()
        add_events(of_part, part)
        add_hours(hours, of_part)
    ending = ending_hour(left, hours)
    cut = None
    if ending is not None:
        hour, rest = ending
        cut = cut_of(campaign, rest, [event for part in divided for event in part if is_since(event, hour)])
    accepted = Accepted(cut)
    return {event.id: accepted.points(event) for event in all_events}


@given(events(), limits, limits, st.integers(0, 10), st.integers(1, 4))
def test_a_divided_population_gets_what_one_sequence_gets(
    found: list[Event], points: int | None, count: int | None, used: int, parts: int
) -> None:
    limited = draft(Budget(points=points, count=count))
    left = total_left(limited, Left(used, used))
    in_order = sorted(found, key=lambda event: event.key)
    wanted = [Wanted(limited, ("p", "m"), event.points, event.is_whole) for event in in_order]
    granted = within(wanted, [event.points for event in in_order], {wanted[0].key: left} if wanted else {})
    expected = dict(zip((event.id for event in in_order), granted, strict=True))
    assert left_of(limited, left, found, parts) == expected


@given(events(), limits)
def test_a_budget_is_hit_with_the_credit_that_uses_it_up_or_gets_less(
    found: list[Event], points: int | None
) -> None:
    limited, left = draft(Budget(points=points)), Left(points, None)
    in_order = sorted(found, key=lambda event: event.key)
    cut = cut_of(limited, left, found)
    spent = 0
    for event in in_order:
        accepted = Accepted(cut).points(event)
        spent += accepted
        if accepted < event.points or spent == points:
            assert cut is not None
            assert cut.hit_us == event.at_us
            return
    assert cut is None


@given(events(), limits, st.integers(0, 5))
def test_a_member_gets_no_more_than_the_limit_of_a_member(
    found: list[Event], limit: int | None, used: int
) -> None:
    limited = draft(Budget(points_per_member=limit))
    in_order = sorted(found, key=lambda event: event.key)
    kept = within_member_limits(limited, ("p", "m"), in_order, UsedByMember(used, 1))
    total = sum(event.points for event in kept)
    if limit is None:
        assert kept == in_order
    else:
        assert total <= max(0, limit - used)
        refused = {event.id for event in in_order} - {event.id for event in kept}
        rest = max(0, limit - used) - total
        assert all(event.points > rest for event in in_order if event.id in refused)


@given(found=events(), limit=st.integers(1, 5), used=st.integers(0, 5))
def test_a_member_counts_as_one_device(found: list[Event], limit: int, used: int) -> None:
    in_order = sorted(found, key=lambda event: event.key)
    kept = within_member_limits(draft(Budget(per_device=limit)), ("p", "m"), in_order, UsedByMember(9, used))
    assert kept == in_order[: max(0, limit - used)]


def test_a_budget_without_a_total_is_never_hit() -> None:
    unlimited = draft(Budget(points_per_member=3))
    hours = Hours()
    add_events(hours, [Event(0, b"1", 0, 5, 5)])
    assert ending_hour(total_left(unlimited, Left(9, 9)), hours) is None
