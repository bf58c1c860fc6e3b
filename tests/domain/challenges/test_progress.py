"""The fold of facts: what counts, how often, and which fact reaches a step."""

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engage.domain.challenges.facts import Fact
from engage.domain.challenges.interest import interest_of
from engage.domain.challenges.progress import progress_of, progress_of_runs, reached_steps
from tests.domain.challenges.challenges import MONDAY, TAPS, ZONE, challenge, course, days, tap
from tests.support.generated_cases import cases


def fact(day: float, activity: str = "review", **fields: Any) -> Fact:
    return Fact(days(day), f"{activity}:{day}", ZONE, activity, **fields)


def test_steps_are_reached_by_the_fact_that_completes_them() -> None:
    found = progress_of(challenge(), [tap(n) for n in range(4)])
    assert found.progress == 4
    assert [reached.at for reached in found.reached] == [days(2)]


def test_several_credits_of_an_activity_are_one_activity() -> None:
    """The points of a tap and of its bonus are both earned, and it is one tap."""
    both = [tap(0), tap(0, points=20)]
    assert progress_of(challenge(), both).progress == 1
    assert progress_of(challenge(goal={"kind": "points_earned"}), both).progress == 22


def test_products_count_once() -> None:
    goal = {"kind": "distinct_products", "activity": "review"}
    facts = [fact(0, products=("band",)), fact(1, products=("band",)), fact(2, products=("scale", "phone"))]
    assert progress_of(challenge(goal=goal), facts).progress == 3


def test_spend_adds_up_and_one_order_may_reach_several_steps() -> None:
    steps = [{"at": 1000, "points": 1}, {"at": 1500, "points": 1}, {"at": 9000, "points": 1}]
    found = progress_of(
        challenge(goal={"kind": "spend_minor"}, steps=steps),
        [fact(0, "order", spent_minor=999), fact(1, "order", spent_minor=501)],
    )
    assert found.progress == 1500
    assert [reached.at for reached in found.reached] == [days(1), days(1)]


def test_progress_of_several_goals_is_how_many_are_reached() -> None:
    goal = {"kind": "all_of", "goals": [{**TAPS, "of": 2}, {"kind": "spend_minor", "of": 100}]}
    both = challenge(goal=goal, steps=[{"at": 1, "points": 5}, {"at": 2, "points": 50}])
    found = progress_of(both, [tap(0), fact(1, "order", spent_minor=100), tap(2)])
    assert (found.progress, found.parts) == (2, (2, 100))
    assert [reached.at for reached in found.reached] == [days(1), days(2)]


def test_a_repeating_challenge_counts_each_period_by_itself() -> None:
    weekly = course((days(-30), challenge(repeats="weekly")))
    facts = [tap(n) for n in range(-2, 3)]
    runs = progress_of_runs([weekly], facts)
    assert {label: progress.progress for (_, label), (_, progress) in runs.items()} == {
        "2026-W46": 2,
        "2026-W47": 3,
    }
    (step,) = reached_steps(runs)
    assert (step.run.label, step.by.at) == ("2026-W47", days(2))


def test_a_fact_belongs_to_the_day_of_the_zone_that_was_the_members() -> None:
    """A member who moves neither gains nor loses a day."""
    daily = course((days(-30), challenge(repeats="daily", steps=[{"at": 1, "points": 1}])))
    late = days(0.48)  # 23:31 in Madrid, and the next day in Auckland.
    facts = [
        Fact(late, "one", ZONE, "fuel_tap"),
        Fact(late, "two", "Pacific/Auckland", "fuel_tap"),
    ]
    assert {label for _, label in progress_of_runs([daily], facts)} == {"2026-11-16", "2026-11-17"}


def test_what_the_interest_leaves_out_counts_for_no_challenge() -> None:
    interest = interest_of([challenge(), challenge(goal={"kind": "spend_minor"})])
    assert tap(0) in interest
    assert fact(0, "order", spent_minor=5) in interest
    assert fact(0, "review", points=20) not in interest
    assert fact(0, "review", points=20) in interest_of([challenge(goal={"kind": "points_earned"})])


FACTS = st.builds(
    lambda hour, activity, key, amount: Fact(
        days(hour / 24), f"{activity}:{key}", ZONE, activity, (f"p{key}",), amount, amount
    ),
    st.integers(0, 24 * 40),
    st.sampled_from(["fuel_tap", "review", "order"]),
    st.integers(0, 6),
    st.integers(0, 50),
)
GOALS = st.sampled_from(
    [
        TAPS,
        {"kind": "distinct_products", "activity": "review"},
        {"kind": "spend_minor"},
        {"kind": "points_earned"},
        {
            "kind": "all_of",
            "goals": [
                {**TAPS, "of": 2},
                {"kind": "points_earned", "of": 60},
                {"kind": "distinct_products", "activity": "order", "of": 2},
            ],
        },
    ]
)


@settings(max_examples=cases(60))
@given(st.lists(FACTS, max_size=25), GOALS, st.sampled_from([None, "daily", "weekly", "monthly"]), st.data())
def test_the_fold_is_of_a_set_and_less_is_never_more(
    facts: list[Fact], goal: dict[str, Any], repeats: str | None, data: st.DataObject
) -> None:
    """The order of arrival changes nothing. Without one of the facts no run gets further, and no step is
    reached earlier.
    """
    steps = [{"at": n, "points": 1} for n in (1, 2, 3)]
    courses = [course((days(-90), challenge(goal=goal, repeats=repeats, steps=steps)))]
    whole = progress_of_runs(courses, facts)
    assert progress_of_runs(courses, data.draw(st.permutations(facts))) == whole
    if not facts:
        return
    gone = data.draw(st.integers(0, len(facts) - 1))
    for key, (_, less) in progress_of_runs(courses, facts[:gone] + facts[gone + 1 :]).items():
        _, before = whole[key]
        assert less.progress <= before.progress
        assert len(less.reached) <= len(before.reached)
        for after, first in zip(less.reached, before.reached, strict=False):
            assert after.at >= first.at


@pytest.mark.parametrize(("reached", "at", "state"), [(3, 3, "done"), (2, 3, "running"), (2, 9, "missed")])
def test_a_run_is_running_until_it_is_done_or_over(reached: int, at: float, state: str) -> None:
    weekly = course((days(-30), challenge(repeats="weekly", steps=[{"at": 3, "points": 10}])))
    ((run, progress),) = progress_of_runs([weekly], [tap(n / 10) for n in range(reached)]).values()
    moment: datetime = days(at)
    assert progress.state(run, moment) == state
    assert run.begins_at < MONDAY
