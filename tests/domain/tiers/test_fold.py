"""Levels: up at once, down at the end of a window and its grace, in whatever order the movements come."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engage.domain.calendar import months_later
from engage.domain.tiers.definition import Level, TierGroup, WindowOfTiers
from engage.domain.tiers.fold import history, level_at, standing
from engage.domain.tiers.movement import WINDOW_END, Cause, Movement

ZONE = "Asia/Kolkata"
NEW_YEAR = datetime(2018, 12, 31, 18, 30, tzinfo=UTC)  # 2019 begins in Kolkata.
GRACE = timedelta(days=30)
LEVELS = [
    Level(id="blue", title={"en": "Blue"}, from_=0),
    Level(id="silver", title={"en": "Silver"}, from_=100),
    Level(id="gold", title={"en": "Gold"}, from_=300),
]
YEAR = TierGroup(id="g", metric="spend_minor", window="calendar_year", grace=GRACE, levels=LEVELS)
ROLLING = replace(YEAR, window="rolling_12_months")
LIFETIME = replace(YEAR, window="lifetime")


def moved(at: datetime, delta: int, earned_at: datetime | None = None, name: str = "o") -> Movement:
    return Movement(at, earned_at or at, delta, Cause("order", name))


def day(n: int) -> datetime:
    return datetime(2018, 3, 1, 12, tzinfo=UTC) + timedelta(days=n)


def level(group: TierGroup, movements: list[Movement], at: datetime) -> str | None:
    found = level_at(group, movements, at=at, zone=ZONE)
    return None if found is None else found.id


@pytest.mark.parametrize("group", [YEAR, ROLLING, LIFETIME])
def test_a_level_is_reached_at_once_and_not_lost_with_what_reached_it(group: TierGroup) -> None:
    movements = [moved(day(0), 299), moved(day(1), 1), moved(day(2), -300, day(0))]
    assert level(group, movements, day(0) - timedelta(microseconds=1)) == "blue"
    assert level(group, movements, day(0)) == "silver"
    assert level(group, movements, day(1)) == "gold"
    found = standing(group, movements, at=day(2), zone=ZONE)
    assert (found.level, found.next, found.value) == (LEVELS[2], None, 0 if group is not ROLLING else 1)


def test_a_year_ends_with_its_grace_in_the_members_zone() -> None:
    movements = [moved(day(0), 300), moved(NEW_YEAR, 120)]
    before = standing(YEAR, movements, at=NEW_YEAR - timedelta(microseconds=1), zone=ZONE)
    assert (before.value, before.keeps_until) == (300, NEW_YEAR + GRACE)
    after = standing(YEAR, movements, at=NEW_YEAR, zone=ZONE)
    assert (after.level, after.value, after.next, after.keeps_until) == (
        LEVELS[2],
        120,
        None,
        NEW_YEAR + GRACE,
    )
    last = NEW_YEAR + GRACE
    assert level(YEAR, movements, last - timedelta(microseconds=1)) == "gold"
    fallen = standing(YEAR, movements, at=last, zone=ZONE)
    assert (fallen.level, fallen.value, fallen.next, fallen.missing) == (LEVELS[1], 120, LEVELS[2], 180)


def test_a_level_that_is_reached_again_in_the_grace_is_kept_for_the_next_year() -> None:
    again = NEW_YEAR + timedelta(days=10)
    movements = [moved(day(0), 300), moved(again, 300)]
    assert level(YEAR, movements, NEW_YEAR + GRACE) == "gold"
    changes = history(YEAR, movements, at=NEW_YEAR + timedelta(days=800), zone=ZONE)
    assert [(change.before, change.level) for change in changes] == [("blue", "gold"), ("gold", "blue")]
    assert changes[1].at == datetime(2019, 12, 31, 18, 30, tzinfo=UTC) + GRACE
    assert changes[1].cause == WINDOW_END


def test_twelve_months_end_when_what_reached_the_level_is_too_old() -> None:
    movements = [moved(day(0), 150), moved(day(30), 150), moved(day(60), 100)]
    # 400 at the end: gold lasts until the first order has left.
    found = standing(ROLLING, movements, at=day(60), zone=ZONE)
    assert (found.level, found.value) == (LEVELS[2], 400)
    assert found.keeps_until == months_later(day(0), 12, ZONE) + GRACE
    at = months_later(day(0), 12, ZONE)
    assert standing(ROLLING, movements, at=at, zone=ZONE).value == 250
    assert level(ROLLING, movements, at) == "gold"
    assert level(ROLLING, movements, at + GRACE) == "silver"
    # Silver lasts as long as a hundred is young enough: that of the last order alone.
    assert level(ROLLING, movements, months_later(day(60), 12, ZONE) + GRACE) == "blue"


def test_a_lifetime_never_ends() -> None:
    movements = [moved(day(0), 300)]
    found = standing(LIFETIME, movements, at=day(20_000), zone=ZONE)
    assert (found.level, found.keeps_until) == (LEVELS[2], None)


def test_below_the_first_level_there_is_none() -> None:
    group = replace(YEAR, levels=LEVELS[1:])
    found = standing(group, [moved(day(0), 40)], at=day(1), zone=ZONE)
    assert (found.level, found.next, found.missing, found.keeps_until) == (None, LEVELS[1], 60, None)
    assert [c.before for c in history(group, [moved(day(0), 100)], at=day(1), zone=ZONE)] == [None]


def test_a_return_after_the_year_takes_nothing_of_the_next_one() -> None:
    late = NEW_YEAR + timedelta(days=1)
    movements = [moved(day(0), 300), moved(late, 50), moved(late, -300, day(0))]
    assert standing(YEAR, movements, at=late, zone=ZONE).value == 50


# A month is coarse enough for levels to be reached, kept and lost in a few movements.
gains = st.lists(
    st.tuples(st.integers(0, 900), st.integers(1, 200), st.one_of(st.none(), st.integers(0, 400))), max_size=8
)


def movements_of(drawn: list[tuple[int, int, int | None]]) -> list[Movement]:
    found = []
    for n, (at, points, back) in enumerate(drawn):
        found.append(moved(day(at), points, name=str(n)))
        if back is not None:
            found.append(moved(day(at + back), -points, day(at), name=str(n)))
    return found


def naive_level(group: TierGroup, movements: list[Movement], at: datetime) -> int:
    """The highest level that some instant until `at` reached and whose window has not been over for long:
    the definition, tried out on every instant at which a gain came.
    """
    highest = 0
    for gain in movements:
        if gain.delta < 0 or gain.at > at:
            continue
        # As it stood right after this gain, those of the same time included.
        known = [m for m in movements if m.at < gain.at or (m.at == gain.at and m.delta > 0)]
        for n, wanted in enumerate(group.levels):
            if n > highest and at < _lasts(group, wanted, known, gain.at):
                highest = n
    return highest


def _lasts(group: TierGroup, wanted: Level, known: list[Movement], reached_at: datetime) -> datetime:
    never, long_ago = datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)
    ends = sorted({end_of(group.window, m.earned_at) for m in known})
    reached = [e for e in ends if e > reached_at and _value(group, known, before=e) >= wanted.from_]
    if not reached:
        return long_ago
    return never if reached[-1] == never else reached[-1] + group.grace


def _value(group: TierGroup, known: list[Movement], *, before: datetime) -> int:
    """The value just before an instant."""
    return sum(m.delta for m in known if end_of(group.window, m.earned_at) >= before)


def end_of(window: WindowOfTiers, at: datetime) -> datetime:
    if window == "lifetime":
        return datetime.max.replace(tzinfo=UTC)
    if window == "rolling_12_months":
        return months_later(at, 12, ZONE)
    year = (at + timedelta(hours=5.5)).year
    return datetime(year + 1, 1, 1, tzinfo=UTC) - timedelta(hours=5.5)


@given(drawn=gains, at=st.integers(0, 1500), group=st.sampled_from([YEAR, ROLLING, LIFETIME]))
def test_the_fold_is_the_definition(
    drawn: list[tuple[int, int, int | None]], at: int, group: TierGroup
) -> None:
    movements = movements_of(drawn)
    assert level(group, movements, day(at)) == group.levels[naive_level(group, movements, day(at))].id


@given(drawn=gains, group=st.sampled_from([YEAR, ROLLING, LIFETIME]), data=st.data())
def test_the_history_says_the_level_at_every_instant(
    drawn: list[tuple[int, int, int | None]], group: TierGroup, data: Any
) -> None:
    movements = movements_of(drawn)
    changes = history(group, data.draw(st.permutations(movements)), at=day(1500), zone=ZONE)
    assert all(one.level == two.before for one, two in pairwise(changes))
    for at in [*(change.at for change in changes), *(m.at for m in movements), day(1500)]:
        until_then = [change.level for change in changes if change.at <= at]
        assert level(group, movements, at) == (until_then[-1] if until_then else "blue")


@given(drawn=gains, at=st.integers(0, 1500), group=st.sampled_from([YEAR, ROLLING, LIFETIME]))
def test_what_no_window_counts_any_more_does_not_matter(
    drawn: list[tuple[int, int, int | None]], at: int, group: TierGroup
) -> None:
    movements = movements_of(drawn)
    begin = group.counts_from(day(at), ZONE)
    counted = [m for m in movements if begin is None or m.earned_at >= begin]
    assert standing(group, counted, at=day(at), zone=ZONE) == standing(
        group, movements, at=day(at), zone=ZONE
    )


def test_the_terms_of_a_level_are_all_that_it_follows_from() -> None:
    others = [
        replace(YEAR, metric="status"),
        ROLLING,
        replace(YEAR, grace=timedelta()),
        replace(YEAR, levels=LEVELS[:2]),
        replace(YEAR, levels=[*LEVELS[:2], replace(LEVELS[2], from_=301)]),
    ]
    terms = [group.terms(ZONE) for group in (YEAR, *others)] + [YEAR.terms("Europe/Rome")]
    assert len(set(terms)) == len(terms)
    renamed = replace(LEVELS[0], title={"en": "Azure"}, benefits={"multiply": 1.5})
    assert replace(YEAR, levels=[renamed, *LEVELS[1:]]).terms(ZONE) == YEAR.terms(ZONE)
