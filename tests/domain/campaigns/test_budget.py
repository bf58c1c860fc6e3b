"""Budgets are never exceeded, whatever is wanted of them, and are used to the last point."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engage.domain.campaigns.budget import (
    SLICES,
    Left,
    Used,
    Wanted,
    spread,
    total_after,
    within,
    within_own_limits,
)
from engage.domain.campaigns.definition import Budget, Campaign

SPRING = Campaign(
    id="spring",
    program="p",
    title={"en": "Spring"},
    from_=datetime(2026, 3, 1, tzinfo=UTC),
    until=datetime(2026, 4, 1, tzinfo=UTC),
    budget=Budget(points_per_member=50, per_device=3),
)

limits = st.none() | st.integers(0, 200)
wanted_points = st.lists(st.tuples(st.integers(1, 60), st.booleans()), max_size=12)


def credits(points: list[tuple[int, bool]], members: list[int] | None = None) -> list[Wanted]:
    names = members or [0] * len(points)
    return [
        Wanted(SPRING, ("p", f"m-{name}"), each, whole)
        for (each, whole), name in zip(points, names, strict=False)
    ]


@given(wanted_points, limits, limits)
def test_no_limit_is_exceeded_and_boosts_use_it_up(
    points: list[tuple[int, bool]], most_points: int | None, most_credits: int | None
) -> None:
    wanted = credits(points)
    left = {("p", "spring"): Left(most_points, most_credits)}
    granted = within(wanted, [each.points for each in wanted], left)
    assert all(0 <= got <= each.points for got, each in zip(granted, wanted, strict=True))
    assert all(got in (0, each.points) for got, each in zip(granted, wanted, strict=True) if each.whole)
    if most_points is not None:
        assert sum(granted) <= most_points
    if most_credits is not None:
        assert sum(1 for got in granted if got) <= most_credits
    elif most_points is not None and not any(whole for _, whole in points):
        assert sum(granted) == min(most_points, sum(each for each, _ in points))
    elif most_points is None:
        assert granted == [each for each, _ in points]


@given(
    wanted_points,
    st.lists(st.integers(0, 3), min_size=12, max_size=12),
    st.lists(st.integers(0, 60), min_size=4, max_size=4),
    st.lists(st.sets(st.sampled_from("abc"), min_size=1), min_size=4, max_size=4),
)
def test_members_and_devices_have_limits_of_their_own(
    points: list[tuple[int, bool]], members: list[int], before: list[int], devices: list[set[str]]
) -> None:
    wanted = credits(points, members)
    used = {("spring", ("p", f"m-{n}")): Used(before[n], sorted(devices[n])) for n in range(len(before))}
    granted = within_own_limits(wanted, used, {("spring", "a"): 2})
    for n in range(len(before)):
        own = sum(got for got, each in zip(granted, wanted, strict=True) if each.member == ("p", f"m-{n}"))
        assert before[n] + own <= max(50, before[n])
    for device, counted in (("a", 2), ("b", 0), ("c", 0)):
        on_device = [
            got
            for got, each in zip(granted, wanted, strict=True)
            if got and device in devices[int(each.member[1][2:])]
        ]
        assert counted + len(on_device) <= 3


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 45), st.integers(0, 45))
def test_nothing_is_granted_beside_a_credit_that_is_not(
    base: int, beside: int, most_points: int, most_of_member: int
) -> None:
    own = replace(SPRING, budget=Budget(points_per_member=most_of_member))
    other = replace(SPRING, id="other", budget=None)
    wanted = [
        Wanted(own, ("p", "m"), base, whole=True),
        Wanted(other, ("p", "m"), beside, beside=0),
        Wanted(own, ("p", "m"), beside, beside=0),
    ]
    points = within_own_limits(wanted, {}, {})
    granted = within(wanted, points, {("p", "spring"): Left(most_points, None), ("p", "other"): Left(30, 1)})
    if base > min(most_points, most_of_member):
        assert granted == [0, 0, 0]
    else:
        assert granted == [base, beside, min(beside, most_of_member - base, most_points - base)]


@given(st.none() | st.integers(0, 10**12))
def test_slices_add_up_to_the_rest(left: int | None) -> None:
    slices = spread(left)
    assert len(slices) == SLICES
    if left is None:
        assert set(slices) == {None}
        return
    numbers = [each for each in slices if each is not None]
    assert sum(numbers) == left
    assert max(numbers) - min(numbers) <= 1


def test_a_lower_limit_leaves_used_what_is_used() -> None:
    assert total_after(100, 40) == 100
    assert total_after(30, 40) == 40
    assert total_after(None, 40) is None
