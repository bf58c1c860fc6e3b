"""The gate counts a streak as `engage.domain.earning.streak` does, whatever it loses meanwhile."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from msgspec.structs import replace

from engage.domain.earning.freezes import FreezeTerms
from engage.domain.earning.limits import DailyStreak
from engage.domain.earning.streak import Streak, extend, in_grace, restored_streak, with_freezes
from engage.gate import keys
from engage.gate.claims import SlotRequest, StreakEvent
from engage.gate.client import Gate
from tests.gate.claims import (
    GRANTED,
    MADRID,
    PROGRAM,
    REFUSED,
    UNKNOWN,
    claim,
    claim_day,
    day,
    load,
    noon,
    streak,
    taken,
    tap,
)
from tests.support.generated_cases import cases

FREEZES = FreezeTerms(start=1, max=2, earn_every_days=3)
FORGIVING = DailyStreak(freezes=FREEZES, grace_until="03:00")
START = datetime(2026, 11, 1, 0, 30, tzinfo=UTC)
terms_of_any_kind = st.builds(
    DailyStreak,
    freezes=st.none()
    | st.builds(
        FreezeTerms,
        start=st.integers(0, 3),
        max=st.integers(3, 4),
        earn_every_days=st.none() | st.integers(1, 4),
    ),
    grace_until=st.sampled_from([None, "03:00"]),
)
losses = st.sampled_from(["none", "none", "none", "confirmation", "member", "freeze"])
_numbers = iter(range(1_000_000))


@hypothesis_settings(max_examples=cases(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(terms_of_any_kind, st.lists(st.tuples(st.integers(1, 80), losses), min_size=1, max_size=14))
async def test_the_gate_counts_as_the_model_does(
    gate: Gate, terms: DailyStreak, steps: list[tuple[int, str]]
) -> None:
    """Taps some hours apart. Where the gate is unsure, it is loaded with the model's streak."""
    member, at = f"m-{next(_numbers)}", START
    expected: Streak | None = None
    seq = 0
    await load(gate, member=member)
    for hours, loss in steps:
        at += timedelta(hours=hours)
        slot = terms.slot("fuel", None, at, MADRID, expected)  # type: ignore[arg-type]  # Not looked at.
        longer = extend(expected, at, MADRID, terms)
        (answer,) = await gate.claim([SlotRequest(PROGRAM, member, slot)])
        if answer.status == UNKNOWN:
            await gate.forget([(PROGRAM, member)])
            await load(gate, *records(expected, seq, at, terms), member=member)
            (answer,) = await gate.claim([SlotRequest(PROGRAM, member, slot)])
        if longer is None:
            assert expected is not None
            # What was not confirmed is granted again, as the event that the database has.
            assert answer.status == REFUSED or answer.event == StreakEvent(replace(expected, at=at), seq)
            continue
        assert answer.status == GRANTED
        assert answer.event is not None
        assert (answer.event.streak, answer.event.seq) == (longer, seq + 1)
        expected, seq = longer, seq + 1
        if loss != "confirmation":
            await gate.confirm([(SlotRequest(PROGRAM, member, slot, answer.event), answer.number)])
        if loss == "freeze" and terms.freezes is not None:
            expected, seq = with_freezes(expected, 1, at, MADRID, terms), seq + 1
        if loss in ("member", "freeze"):
            await gate.forget([(PROGRAM, member)])


def records(expected: Streak | None, seq: int, at: datetime, terms: DailyStreak) -> list[keys.StreakRecord]:
    if expected is None:
        return []
    kept = restored_streak(expected, at=at, zone=MADRID, terms=terms)
    return [keys.streak_record("fuel", kept, seq)]


async def test_a_freeze_covers_a_missed_day_and_the_next_one_does_not(gate: Gate) -> None:
    await load(gate)
    first = await claim_day(gate, tap(1, terms=FORGIVING))
    assert (first.streak.freezes, first.seq) == (1, 1)
    await gate.confirm([(SlotRequest(PROGRAM, "m-1", tap(1, terms=FORGIVING), first), 1)])
    assert await taken(gate, tap(3, terms=FORGIVING)) == 2
    found = await gate.read(PROGRAM, "m-1")
    assert found is not None
    (record,) = found
    assert isinstance(record, keys.StreakRecord)
    assert (record.days, record.frozen, record.freezes, record.best, record.seq) == (2, 1, 0, 2, 2)
    assert await taken(gate, tap(5, terms=FORGIVING)) == 1


async def test_a_frozen_day_may_be_tapped_late_so_only_the_database_knows(gate: Gate) -> None:
    await load(gate)
    await taken(gate, tap(1, terms=FORGIVING))
    await taken(gate, tap(3, terms=FORGIVING))
    assert await claim(gate, tap(2, terms=FORGIVING)) == (UNKNOWN, 0)
    assert await claim(gate, tap(3, terms=FORGIVING)) == (REFUSED, 2)


async def test_what_is_no_newer_than_the_newest_event_is_unknown(gate: Gate) -> None:
    """A freeze was bought on the third day, and the tap of the second one comes after it."""
    run = Streak(last_day=day(1), days=1, zone=MADRID, at=noon(3), freezes=2, best=1)
    await load(gate, keys.streak_record("fuel", run, 2))
    assert await claim(gate, tap(2, terms=FORGIVING)) == (UNKNOWN, 0)
    assert await claim(gate, tap(3, terms=FORGIVING)) == (UNKNOWN, 0), "in the same second"
    assert await claim(gate, tap(4, terms=FORGIVING)) == (GRANTED, 2)


async def test_the_first_freezes_are_for_the_database_to_give(gate: Gate) -> None:
    await load(gate, streak(1, 5))
    assert await claim(gate, tap(2, terms=FORGIVING)) == (UNKNOWN, 0)
    assert await claim(gate, tap(2)) == (GRANTED, 6)


@pytest.mark.parametrize(("last", "granted"), [(1, 2), (2, 3)])
async def test_in_the_grace_yesterday_is_granted_if_it_has_none(gate: Gate, last: int, granted: int) -> None:
    await load(gate, streak(last, 4))
    event = await claim_day(gate, tap(3, may_be_before=True))
    assert (event.streak.last_day, event.streak.days) == (day(granted), 5)


async def test_a_program_that_gives_no_more_freezes_leaves_those_that_members_have(gate: Gate) -> None:
    run = Streak(last_day=day(1), days=3, zone=MADRID, at=noon(1), freezes=2, best=3)
    await load(gate, keys.streak_record("fuel", run, 3))
    event = await claim_day(gate, tap(3))
    assert (event.streak.days, event.streak.freezes) == (4, 1)


def test_grace_ends_at_its_minute() -> None:
    three = datetime(2026, 11, 21, 2, tzinfo=UTC)
    assert in_grace(three - timedelta(microseconds=1), MADRID, FORGIVING)
    assert not in_grace(three, MADRID, FORGIVING)
