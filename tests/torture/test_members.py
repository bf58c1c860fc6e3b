"""Members repeat themselves by their seed, and know the time within bounds."""

from datetime import timedelta
from random import Random

from engage.torture.checks.exchanges import exchanges_of
from engage.torture.checks.timeline import Timeline
from engage.torture.members.actions import Action, draw_delivery
from engage.torture.members.choose import CHOICES, next_action
from engage.torture.members.knowledge import Knowledge
from tests.torture.evidence import BEGAN, MEMBER, Written


def known() -> Knowledge:
    return Knowledge(MEMBER, "ES", now=BEGAN, joined=BEGAN)


def wanted(seed: str, count: int = 400) -> list[Action]:
    knowledge, rng = known(), Random(seed)
    return [next_action(knowledge, rng) for _ in range(count)]


def test_one_seed_makes_the_same_wishes() -> None:
    assert wanted("1") == wanted("1")
    assert wanted("1") != wanted("2")


def test_only_requests_that_change_something_are_repeated() -> None:
    rng = Random("1")
    for action in wanted("1"):
        delivery = draw_delivery(action, rng)
        assert action.method != "GET" or not (delivery.at_once or delivery.again_later or delivery.with_key)


def test_a_patient_client_repeats_only_what_does_no_harm() -> None:
    rng = Random("1")
    for action in wanted("1"):
        delivery = draw_delivery(action, rng)
        assert not delivery.is_patient or delivery.with_key or action.operation != "recordVisit"


def test_everything_that_members_can_wish_is_wished() -> None:
    assert len({action.operation for action in wanted("1", 2_000)}) >= len(CHOICES) // 2


def timeline(written: Written) -> Timeline:
    return Timeline(exchanges_of(written.record.lines))


def test_the_time_is_known_within_bounds() -> None:
    written = Written()
    answered = written.at + 0.5
    assert timeline(written).earliest(answered + 3) == BEGAN + timedelta(seconds=3)
    assert timeline(written).latest(answered + 3) == BEGAN + timedelta(seconds=3.5)
    written.advance(BEGAN + timedelta(days=1))
    assert timeline(written).earliest(written.at) < BEGAN + timedelta(hours=1)
    assert timeline(written).latest(written.at) >= BEGAN + timedelta(days=1)


def test_an_advance_whose_answer_was_lost_may_have_happened() -> None:
    written = Written()
    written.send("advanceClock", body={"advance": "PT7H"}, status=None)
    found = timeline(written)
    assert found.earliest(written.at + 1) < BEGAN + timedelta(minutes=1)
    assert found.latest(written.at + 1) > BEGAN + timedelta(hours=7)
