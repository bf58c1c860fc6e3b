"""A plan follows from its seed, and never has two faults at once that hide each other."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from engage.torture.faults import FAULTS
from engage.torture.kinds import KINDS
from engage.torture.parts import PROCESSES, SERVERS
from engage.torture.plan import Plan, make_plan, mistakes, without

SEEDS = st.integers(min_value=0, max_value=2**63)
MINUTES = st.floats(min_value=0.1, max_value=3)
NAMES = st.lists(st.sampled_from(sorted(KINDS)), unique=True)


@given(SEEDS, MINUTES, NAMES)
def test_the_same_seed_gives_the_same_plan(seed: int, minutes: float, faults: list[str]) -> None:
    once = make_plan(seed, minutes=minutes, faults=faults)
    assert make_plan(seed, minutes=minutes, faults=faults) == once
    assert make_plan(seed, minutes=minutes, faults=faults[::-1]) == once


@given(SEEDS)
def test_a_plan_read_from_its_file_is_the_same(seed: int) -> None:
    plan = make_plan(seed, minutes=1)
    assert msgspec.json.decode(msgspec.json.encode(plan), type=Plan) == plan


@given(SEEDS, NAMES)
def test_a_plan_has_the_named_faults_alone_each_before_any_comes_again(seed: int, faults: list[str]) -> None:
    found = [steps[0].fault for steps in make_plan(seed, minutes=3, faults=faults).rounds()]
    wanted = set(faults or KINDS)
    assert set(found) <= wanted
    drawn = {step.fault for step in make_plan(seed, minutes=3, faults=faults).steps}
    assert drawn == wanted


@given(SEEDS)
def test_faults_at_once_are_of_different_parts(seed: int) -> None:
    for steps in make_plan(seed, minutes=3).rounds():
        parts = [step.target.rpartition("/")[2] for step in steps]
        assert len(parts) == len(set(parts)) <= 2
        assert steps[0].begin_s == 0
        assert all(step.begin_s <= steps[0].length_s for step in steps)


@given(SEEDS)
def test_a_made_plan_has_no_mistakes(seed: int) -> None:
    assert list(mistakes(make_plan(seed, minutes=2))) == []


@given(SEEDS)
def test_a_step_stays_within_its_kind(seed: int) -> None:
    for step in make_plan(seed, minutes=2).steps:
        kind = KINDS[step.fault]
        assert step.target in kind.targets
        assert kind.shortest_s <= step.length_s <= kind.longest_s
        assert all(step.parameters[name] in values for name, values in kind.parameters.items())


def test_other_seeds_give_other_plans() -> None:
    assert len({msgspec.json.encode(make_plan(seed, minutes=1).steps) for seed in range(20)}) == 20


def test_every_kind_can_be_done() -> None:
    assert KINDS.keys() == FAULTS.keys()


def test_every_process_and_server_can_be_killed_and_stopped() -> None:
    assert set(KINDS["kill"].targets) == set(KINDS["stop"].targets) == {*PROCESSES, *SERVERS}


def test_a_plan_goes_on_without_what_a_machine_does_not_allow() -> None:
    plan = without(make_plan(1, minutes=3), {"clock", "disk-full"})
    assert plan.steps
    assert not {"clock", "disk-full"} & {step.fault for step in plan.steps}
