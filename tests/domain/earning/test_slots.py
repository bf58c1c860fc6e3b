"""Limits as slots, checked with the simulated limits of one member."""

from collections import Counter
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engage.domain import calendar
from engage.domain.activity import AnyActivity, FuelTap, Review, Share
from engage.domain.earning.credit import NewCredit
from engage.domain.earning.definition import Rule
from engage.domain.earning.limits import PerWindow
from engage.domain.earning.slots import short_code, wanted
from engage.domain.program.program import Program
from engage.domain.refusals import Refusal
from engage.domain.simulation.limits import SimulatedLimits
from tests.domain.strategies import EUROPE, V2020, V2022, ZONES, activities, journeys, products

programs = st.sampled_from(EUROPE)

Recorded = tuple[datetime, AnyActivity]


@st.composite
def histories(draw: st.DrawFn) -> tuple[str, list[Recorded]]:
    """Activities of a member in one zone, in order. Many share a day or a month."""
    zone = draw(st.sampled_from(ZONES))
    times = draw(journeys(zone))
    return zone, [(at, draw(activities)) for at in times]


shares = st.builds(Share, kind=st.sampled_from(["social", "link"]), product_id=products)


@given(programs, histories())
def test_no_source_key_is_used_twice(program: Program, history: tuple[str, list[Recorded]]) -> None:
    zone, recorded = history
    keys: Counter[str] = Counter()
    references: set[str] = set()
    member = SimulatedLimits()
    for at, activity in recorded:
        repeated = activity.reference in references
        earned = _record(member, program, activity, at, zone)
        if not repeated:
            keys.update(credit.source_key for credit in earned)
        if earned and activity.reference:
            references.add(activity.reference)
    assert all(count == 1 for count in keys.values())
    assert keys.keys() == member.source_keys


@given(programs, histories(), st.lists(shares, max_size=40))
def test_a_window_pays_as_often_as_its_count_and_never_more(
    program: Program, history: tuple[str, list[Recorded]], more: list[Share]
) -> None:
    zone, recorded = history
    last = recorded[-1][0]
    recorded += [(last + timedelta(hours=n), share) for n, share in enumerate(more)]
    shared: Counter[tuple[str, str]] = Counter()
    paid: Counter[tuple[str, str]] = Counter()
    member = SimulatedLimits()
    for at, activity in recorded:
        if not isinstance(activity, Share) or activity.reference:
            continue
        month = f"{calendar.local_date(at, zone):%Y-%m}"
        shared.update((rule.id, month) for rule in program.rules if matches(rule, activity))
        paid.update((credit.rule_id, month) for credit in _record(member, program, activity, at, zone))
    for (rule_id, month), times in shared.items():
        limit = program.earning.rules.by_id[rule_id].limit
        assert isinstance(limit, PerWindow)
        assert paid[rule_id, month] == min(times, limit.count)


@given(histories())
def test_a_product_is_reviewed_for_points_once(history: tuple[str, list[Recorded]]) -> None:
    zone, recorded = history
    member = SimulatedLimits()
    rewarded: set[str] = set()
    reviewed_before: set[str] = set()
    for at, activity in recorded:
        if isinstance(activity, Review):
            earned = _record(member, V2022, activity, at, zone)
            new = activity.product_id not in rewarded and activity.review_id not in reviewed_before
            assert bool(earned) == new
            if new:
                rewarded.add(activity.product_id)
                reviewed_before.add(activity.review_id)


@given(st.sampled_from(ZONES), st.data())
def test_a_repeated_share_is_answered_as_the_first_time_and_adds_nothing(
    zone: str, drawn: st.DataObject
) -> None:
    share = Share(kind="link", product_id="mi-band-7", share_id="s-1")
    times = drawn.draw(journeys(zone))
    member = SimulatedLimits()
    answers = [_record(member, V2022, share, at, zone) for at in times]
    assert all(answer == answers[0] for answer in answers)
    assert len(member.source_keys) == 1


def test_limits_hold_across_versions() -> None:
    """Slots belong to the id of a rule: used under the old version, they stay used under the new one."""
    member, zone = SimulatedLimits(), "Europe/Madrid"
    autumn = datetime.fromisoformat("2022-08-30T12:00:00+02:00")
    days = [autumn + timedelta(days=n) for n in range(7)]
    earned = [_record(member, V2020 if n < 2 else V2022, FuelTap(), at, zone) for n, at in enumerate(days)]
    assert [[c.points for c in credits] for credits in earned] == [[10], [10], [2], [2], [2], [2], [2, 50]]
    review = Review(product_id="mi-10", review_id="r-1")
    again = Review(product_id="mi-10", review_id="r-2")
    assert _record(member, V2020, review, autumn, zone)
    assert not _record(member, V2022, again, days[-1], zone)


def test_a_streak_goes_on_in_its_zone_when_the_member_moves() -> None:
    member = SimulatedLimits()
    start = datetime.fromisoformat("2022-11-01T23:30:00+00:00")  # 00:30 on the 2nd in Madrid.
    days = [start + timedelta(days=n) for n in range(7)]
    zones = ["Europe/Madrid"] * 3 + ["Europe/London"] * 4
    earned = [_record(member, V2022, FuelTap(), at, zone) for at, zone in zip(days, zones, strict=True)]
    assert [credit.source_key for credit in earned[3]] == ["fuel:2022-11-05"]  # It is the 4th in London.
    assert [credit.points for credit in earned[-1]] == [2, 50]


@given(st.sampled_from(EUROPE), activities, st.sampled_from(ZONES), st.data())
def test_each_rule_with_its_own_limit_wants_one_slot(
    program: Program, activity: AnyActivity, zone: str, drawn: st.DataObject
) -> None:
    at = drawn.draw(journeys(zone, most=0))[0]
    slots = wanted(program.earning, activity, at=at, zone=zone)
    rules = [slot.rule_id for slot in slots]
    assert len(set(rules)) == len(rules)
    assert set(rules) == {
        rule.id
        for rule in program.rules
        if matches(rule, activity) and rule.limit.__struct_config__.tag != "same_as"
    }


def test_an_activity_without_a_rule_is_not_offered() -> None:
    link = Share(kind="link", product_id="mi-10")
    with pytest.raises(Refusal) as refusal:
        SimulatedLimits().record(
            V2020.earning, link, datetime.fromisoformat("2021-01-01T12:00:00Z"), "Europe/Paris"
        )
    assert (refusal.value.code, refusal.value.status) == ("not_offered", 404)


def test_a_refusal_has_the_time_of_the_next_try() -> None:
    member, zone = SimulatedLimits(), "Europe/Madrid"
    at = datetime.fromisoformat("2022-11-21T10:00:00+01:00")
    midnight = datetime.fromisoformat("2022-11-22T00:00:00+01:00")
    december = datetime.fromisoformat("2022-12-01T00:00:00+01:00")
    member.record(V2022.earning, FuelTap(), at, zone)
    with pytest.raises(Refusal, match="already_tapped") as tapped:
        member.record(V2022.earning, FuelTap(), at, zone)
    assert tapped.value.facts["next_tap_at"] == midnight
    share = Share(kind="social", product_id="mi-band-7")
    for _ in range(3):
        member.record(V2022.earning, share, at, zone)
    with pytest.raises(Refusal, match="limit_reached") as full:
        member.record(V2022.earning, share, at, zone)
    assert (full.value.status, full.value.facts["resets_at"]) == (409, december)


@given(st.text(max_size=60))
def test_a_short_code_fits_the_gate(name: str) -> None:
    assert 0 <= short_code(name) < 2**16


def matches(rule: Rule, activity: AnyActivity) -> bool:
    if rule.on.activity != activity.__struct_config__.tag:
        return False
    return rule.on.kind is None or rule.on.kind == getattr(activity, "kind", None)


def _record(
    member: SimulatedLimits, program: Program, activity: AnyActivity, at: datetime, zone: str
) -> list[NewCredit]:
    try:
        return member.record(program.earning, activity, at, zone)
    except Refusal:
        return []
