"""A failing plan becomes as short as it can be while it fails still."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from engage.torture.plan import make_plan
from engage.torture.shorten import fewest, with_rounds


def _for_ever() -> bool:
    return True


@given(st.integers(min_value=1, max_value=30), st.data())
async def test_the_faults_that_matter_are_found(size: int, drawn: st.DataObject) -> None:
    guilty = drawn.draw(st.sets(st.integers(min_value=0, max_value=size - 1), min_size=1, max_size=3))

    async def fails(parts: Sequence[int]) -> bool:
        return guilty <= set(parts)

    assert await fewest(range(size), fails, may_go_on=_for_ever) == sorted(guilty)


async def test_nothing_is_left_where_no_fault_is_needed() -> None:
    async def fails(_parts: Sequence[int]) -> bool:
        return True

    assert await fewest([1, 2, 3], fails, may_go_on=_for_ever) == []


async def test_the_search_ends_with_what_it_has_when_its_time_is_over() -> None:
    tries = 0

    async def fails(parts: Sequence[int]) -> bool:
        nonlocal tries
        tries += 1
        return 5 in parts

    found = await fewest(range(16), fails, may_go_on=lambda: tries < 3)
    assert tries == 3
    assert 5 in found
    assert len(found) < 16


def test_a_shorter_plan_lasts_shorter() -> None:
    plan = make_plan(1, minutes=1)
    rounds = plan.rounds()[:8]
    shorter = with_rounds(plan, rounds[2:4], of=8)
    assert shorter.rounds() == rounds[2:4]
    assert shorter.seconds == plan.seconds / 4
    assert shorter.seed == plan.seed
