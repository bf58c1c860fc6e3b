"""Decisions are repeatable, explained and never due early."""

from datetime import datetime, timedelta

import msgspec
from hypothesis import assume, given
from hypothesis import strategies as st

from engage.domain.activity import AnyActivity, FuelTap, Share
from engage.domain.calendar import months_later
from engage.domain.earning.awards import Fixed
from engage.domain.earning.credit import NewCredit, Why
from engage.domain.earning.decide import decide
from engage.domain.earning.definition import Rule
from engage.domain.earning.due import After
from engage.domain.earning.limits import Once, OnceSlot, PerWindow, SameAs, Slot, WindowSlot
from engage.domain.earning.on import On
from engage.domain.earning.slots import Grant, wanted
from engage.domain.earning.trace import TraceCode, step
from engage.domain.program.program import Program
from tests.domain.strategies import EUROPE, V2020, V2022, ZONES, activities, instants_in


@st.composite
def decisions(draw: st.DrawFn) -> tuple[Program, AnyActivity, datetime, str, list[Grant]]:
    """An activity with grants of its slots, with any of the numbers that a limit allows."""
    program, activity, zone = draw(st.sampled_from(EUROPE)), draw(activities), draw(st.sampled_from(ZONES))
    at = draw(instants_in(zone))
    slots = wanted(program.earning, activity, at=at, zone=zone)
    assume(slots)
    return program, activity, at, zone, [Grant(slot, draw(_numbers(slot))) for slot in slots]


def _numbers(slot: Slot) -> st.SearchStrategy[int]:
    match slot:
        case OnceSlot():
            return st.just(1)
        case WindowSlot(count=count):
            return st.integers(1, count)
        case _:
            return st.integers(1, 30)


@given(decisions())
def test_the_same_decision_again_gives_the_same_credits(
    decision: tuple[Program, AnyActivity, datetime, str, list[Grant]],
) -> None:
    program, activity, at, zone, grants = decision
    first = decide(program.earning, activity, at=at, zone=zone, grants=grants)
    assert first
    assert decide(program.earning, activity, at=at, zone=zone, grants=list(reversed(grants))) == first


@given(decisions())
def test_a_stored_decision_can_be_repeated(
    decision: tuple[Program, AnyActivity, datetime, str, list[Grant]],
) -> None:
    program, activity, at, zone, grants = decision
    for credit in decide(program.earning, activity, at=at, zone=zone, grants=grants):
        why = msgspec.json.decode(msgspec.json.encode(credit.why), type=Why)
        assert why == credit.why
        assert (why.program, why.version) == (program.id, program.version)
        assert isinstance(why.activity, AnyActivity)
        again = decide(program.earning, why.activity, at=why.at, zone=why.zone, grants=grants)
        assert credit in again
        assert any(step.facts["rule"] == credit.rule_id for step in why.trace)


@given(decisions())
def test_points_are_due_after_their_delay_and_end_after_their_months(
    decision: tuple[Program, AnyActivity, datetime, str, list[Grant]],
) -> None:
    program, activity, at, zone, grants = decision
    delay = timedelta(hours=24) if program is V2020 else timedelta(minutes=5)
    for credit in decide(program.earning, activity, at=at, zone=zone, grants=grants):
        assert credit.due_at is not None
        assert credit.expires_at is not None
        assert credit.due_at - at == delay
        assert credit.expires_at == months_later(credit.due_at, 12, zone)
        assert credit.expires_at > credit.due_at
        assert credit.reference == activity.reference


@given(st.integers(1, 400))
def test_each_seventh_day_pays_the_bonus_besides_the_daily_points(day: int) -> None:
    at, zone = datetime.fromisoformat("2022-11-21T12:00:00Z"), "Europe/Madrid"
    (slot,) = wanted(V2022.earning, FuelTap(), at=at, zone=zone)
    earned = decide(V2022.earning, FuelTap(), at=at, zone=zone, grants=[Grant(slot, day)])
    assert [credit.points for credit in earned] == ([2, 50] if day % 7 == 0 else [2])
    assert len({credit.source_key for credit in earned}) == len(earned)


def test_a_rule_without_a_free_slot_does_not_stop_the_others() -> None:
    rules = [
        _rule("always", PerWindow(count=2, window="day")),
        _rule("first", Once()),
        _rule("extra", SameAs(rule="first")),
    ]
    program = msgspec.structs.replace(V2022, rules=rules)
    share = Share(kind="link", product_id="p", share_id="s")
    at = datetime.fromisoformat("2022-11-21T12:00:00Z")
    window, once = wanted(program.earning, share, at=at, zone="Europe/Madrid")

    def keys(*grants: Grant) -> list[NewCredit]:
        return decide(program.earning, share, at=at, zone="Europe/Madrid", grants=list(grants))

    assert [c.source_key for c in keys(Grant(window, 2))] == ["always:2022-11-21:2"]
    assert [c.source_key for c in keys(Grant(once, 1))] == ["first", "extra"]
    assert keys(Grant(window, 2))[0].why.trace == [
        step(TraceCode.WINDOW_SLOT, rule="always", slot=2, of=2, window="2022-11-21", points=5),
        step(TraceCode.NO_SLOT, rule="first"),
        step(TraceCode.NO_SLOT, rule="extra"),
    ]


def _rule(rule_id: str, limit: PerWindow | Once | SameAs) -> Rule:
    due = After(delay=timedelta(minutes=5))
    return Rule(
        id=rule_id, title=rule_id, on=On(activity="share"), limit=limit, award=Fixed(points=5), due=due
    )


def test_the_home_screen_finds_its_rules() -> None:
    rules = V2022.earning.rules
    assert list(rules.windows) == ["share_social", "share_link", "review"]
    assert list(V2020.earning.rules.windows) == ["share_social", "review"]
    assert rules.streak is not None
    assert (rules.streak.id, rules.bonus_days(rules.streak.id)) == ("fuel", 7)
