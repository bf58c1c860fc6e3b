"""Tasks of earning rules: what is left of each limit, and why not what is used up."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engage import programs
from engage.domain.activity import AnyActivity, AppSignIn, FuelTap, Registration, Review, Share
from engage.domain.calendar import WindowKind
from engage.domain.earning.limits.kind import UsedSlots
from engage.domain.earning.streak import Streak
from engage.domain.earning.tasks import once_keys, tasks_of
from engage.domain.refusals import Refusal
from engage.domain.simulation.limits import SimulatedLimits
from engage.domain.tasks import Task

TERMS = programs.preset("eu-mi-points/2022").earning
AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
MADRID = "Europe/Madrid"
MIDNIGHT = datetime(2026, 11, 21, 23, tzinfo=UTC)
DECEMBER = datetime(2026, 11, 30, 23, tzinfo=UTC)


def tasks(used: UsedSlots, at: datetime = AT) -> dict[str, Task]:
    return {task.rule: task for task in tasks_of(TERMS, used, at=at, zone=MADRID)}


def why_not(task: Task) -> tuple[str, dict[str, Any]]:
    assert task.why_not is not None
    return task.why_not.code, dict(task.why_not.facts)


def test_everything_is_open_to_a_new_member_except_what_joining_paid() -> None:
    found = tasks(UsedSlots(keys={"registration"}))
    assert [rule for rule, task in found.items() if task.state == "open"] == [
        *("app_sign_in", "purchase", "share_social", "share_link", "review", "fuel")
    ]
    assert (found["share_link"].remaining, found["share_link"].resets_at) == (3, DECEMBER)
    assert (found["fuel"].remaining, found["fuel"].resets_at) == (1, MIDNIGHT)
    assert (found["review"].remaining, found["review"].resets_at) == (5, MIDNIGHT), "the tighter limit"
    assert (found["purchase"].points, found["purchase"].remaining) == (None, None)
    assert found["registration"].state == "done"
    assert why_not(found["registration"])[0] == "already_rewarded"


def test_joining_pays_only_those_who_join() -> None:
    registration = tasks(UsedSlots())["registration"]
    assert (registration.state, registration.remaining) == ("blocked", 0)
    assert why_not(registration) == ("only_when_joining", {})


def test_a_used_limit_is_done_until_it_resets() -> None:
    month: WindowKind = "month"
    found = tasks(UsedSlots(numbers={("share_link", month): [1, 2, 3], ("share_social", month): [2]}))
    assert (found["share_link"].state, found["share_link"].remaining) == ("done", 0)
    assert why_not(found["share_link"])[0] == "limit_reached"
    assert found["share_link"].resets_at == DECEMBER
    assert (found["share_social"].state, found["share_social"].remaining) == ("open", 2)
    both = UsedSlots(numbers={("review", "day"): range(1, 6), ("review", month): range(1, 21)})
    assert tasks(both)["review"].resets_at == DECEMBER, "the limit that lasts longest"


def test_a_tapped_day_is_done_until_the_next_begins_and_the_bonus_says_how_many_days_are_missing() -> None:
    def run(days: int, last: date) -> dict[str, Task]:
        streak = Streak(last_day=last, days=days, zone=MADRID, at=AT, best=days)
        return tasks(UsedSlots(streaks={"fuel": streak}))

    today, yesterday = date(2026, 11, 21), date(2026, 11, 20)
    tapped = run(3, today)
    assert (tapped["fuel"].state, tapped["fuel"].resets_at) == ("done", MIDNIGHT)
    assert why_not(tapped["fuel"])[0] == "already_tapped"
    assert (tapped["fuel_streak"].state, why_not(tapped["fuel_streak"])) == (
        "blocked",
        ("streak_days_ahead", {"days": 4}),
    )
    assert run(6, yesterday)["fuel_streak"].state == "open", "today's tap pays it"
    assert run(6, today)["fuel_streak"].state == "blocked", "tomorrow's does"
    paid = run(7, today)["fuel_streak"]
    assert (paid.state, paid.resets_at) == ("done", MIDNIGHT)
    assert run(7, yesterday)["fuel_streak"].state == "blocked"
    assert why_not(run(6, today - timedelta(days=3))["fuel_streak"])[1] == {"days": 7}, "the run has ended"


ACTIVITIES: list[AnyActivity] = [
    FuelTap(),
    AppSignIn(),
    Registration(),
    Share(kind="link", product_id="band"),
    Share(kind="social", product_id="band"),
    Review(product_id="new", review_id="r"),
]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 30)), max_size=40))
def test_a_task_is_open_if_and_only_if_the_activity_would_earn(done: list[tuple[int, int]]) -> None:
    """Against the simulated member, who is the specification of the gate and the ledger."""
    limits, at = SimulatedLimits(), AT
    for n, (which, hours) in enumerate(done):
        at += timedelta(hours=hours)
        activity = ACTIVITIES[which]
        if isinstance(activity, Review):
            activity = Review(product_id=f"p-{n}", review_id=f"r-{n}")
        try:
            limits.record(TERMS, activity, at, MADRID)
        except Refusal:
            continue
    numbers: dict[tuple[str, WindowKind], list[int]] = {}
    for slot in TERMS.rules.open_windows(at, MADRID):
        for rule, place in limits.places:
            if (rule, place.kind, place.first_day) == (slot.rule_id, slot.window.kind, slot.window.first_day):
                numbers.setdefault((rule, place.kind), []).append(place.number)
    used = UsedSlots(limits.source_keys & set(once_keys(TERMS)), numbers, limits.streaks)
    found = tasks(used, at)
    for activity in ACTIVITIES:
        expected = {rule.id: found[rule.id].state == "open" for rule in TERMS.rules.matching(activity)}
        if isinstance(activity, Registration):
            assert found["registration"].state != "open"
            continue
        refused = None
        try:
            earned = {credit.rule_id for credit in limits.record(TERMS, activity, at, MADRID)}
        except Refusal as error:
            earned, refused = set(), error.code
        assert {rule for rule, is_open in expected.items() if is_open} == earned
        if refused is not None:
            assert why_not(found[TERMS.rules.matching(activity)[0].id])[0] == refused
