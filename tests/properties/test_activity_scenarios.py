"""Random scenarios of activities give the answers of the model, while Valkey forgets and callers die.

Most rules have two limits, one by the day and one by the month.
Steps are drawn: activities alone and together, removals before and after them, the clock, settlements; Valkey
emptied, rebuilt, or restored to an earlier state; callers that die with slots claimed, or right after their
answer. Every answer and home screen is compared with the model; every scenario ends with a clean audit.
"""

import random
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from redis.asyncio import Redis

from engage.domain.activity import AnyActivity, AppSignIn
from engage.settings import Settings
from tests.properties.activity_scenario import ActivityScenario, Loss
from tests.support.activities import link, review, services_with_activities, social, tap
from tests.support.blocking import BlockingServices, blocking
from tests.support.generated_cases import cases

DRAWN_SCENARIOS = 25
DRAWN_STEPS = 25
SEEDS = 4
SCENARIOS_PER_SEED = 6
RANDOM_STEPS = 40

HOURS = [0.1, 7, 24, 48]
LOSSES: list[Loss] = ["emptied", "rebuilt"]
NAMES = ["1", "2", "3"]
ACTIVITIES: list[AnyActivity] = [
    tap(),
    tap(),
    link(),
    social(),
    *[link(name) for name in NAMES],
    *[social(name) for name in NAMES],
    *[review(product, name) for product in ("band", "watch", "2026-11:1") for name in NAMES],
]
ALL_ACTIVITIES = [*ACTIVITIES, AppSignIn()]

activity = st.sampled_from(ACTIVITIES)
index = st.integers(0, 1)


class ActivityMachine(RuleBasedStateMachine):
    """Draws the steps of a scenario, and shortens those that fail."""

    blocking: BlockingServices
    drawn: ActivityScenario | None = None

    @initialize(hours=st.integers(0, 96))
    def begin(self, hours: int) -> None:
        self.drawn = ActivityScenario(self.blocking, hours=hours)

    @property
    def scenario(self) -> ActivityScenario:
        assert self.drawn is not None
        return self.drawn

    @rule(index=index, activities=st.lists(st.sampled_from(ALL_ACTIVITIES), min_size=1, max_size=8))
    def perform(self, index: int, activities: list[AnyActivity]) -> None:
        for activity in activities:
            self.scenario.perform(index, activity)

    @rule(index=index, activity=st.sampled_from([link(), social()]))
    def use_up(self, index: int, activity: AnyActivity) -> None:
        self.perform(index, [activity] * 4)

    @rule(index=index, days=st.integers(1, 4))
    def tap_each_day(self, index: int, days: int) -> None:
        for _ in range(days):
            self.scenario.wait(24)
            self.scenario.perform(index, tap())

    @rule(first=activity, second=activity)
    def perform_together(self, first: AnyActivity, second: AnyActivity) -> None:
        self.scenario.perform_together([first, second])

    @rule(index=index, activities=st.lists(activity, min_size=1, max_size=3), answered=st.booleans())
    def die(self, index: int, activities: list[AnyActivity], answered: bool) -> None:
        for activity in activities:
            (self.scenario.perform_and_die if answered else self.scenario.claim_and_die)(index, activity)

    @rule(index=index, kind=st.sampled_from(["share", "review"]), name=st.sampled_from(NAMES))
    def remove(self, index: int, kind: str, name: str) -> None:
        self.scenario.remove(index, kind, name)

    @rule(index=index, name=st.sampled_from(NAMES))
    def publish(self, index: int, name: str) -> None:
        self.scenario.publish(index, name)

    @rule(hours=st.sampled_from(HOURS), settling=st.booleans())
    def let_time_pass(self, hours: float, settling: bool) -> None:
        self.scenario.wait(hours)
        if settling:
            self.scenario.settle()

    @rule(loss=st.sampled_from(LOSSES))
    def lose_valkey(self, loss: Loss) -> None:
        self.scenario.lose_valkey(loss)

    @rule(index=index, activities=st.lists(activity, min_size=1, max_size=4))
    def fall_behind(self, index: int, activities: list[AnyActivity]) -> None:
        self.scenario.fall_behind(index, activities)

    @rule(index=index)
    def compare_home(self, index: int) -> None:
        self.scenario.compare_home(index)

    def teardown(self) -> None:
        # After a failed step there is nothing to compare.
        if self.drawn is not None and sys.exc_info()[0] is None:
            self.drawn.close()


def test_every_drawn_scenario_gives_the_answers_of_the_model(services: BlockingServices) -> None:
    ActivityMachine.blocking = services
    run_state_machine_as_test(
        ActivityMachine,
        settings=hypothesis_settings(
            max_examples=cases(DRAWN_SCENARIOS),
            stateful_step_count=DRAWN_STEPS,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("seed", range(cases(SEEDS)))
def test_every_random_scenario_gives_the_answers_of_the_model(services: BlockingServices, seed: int) -> None:
    """Independent steps differ more from each other than drawn ones. A failure shows its seed and steps."""
    chance = random.Random(seed)
    for _ in range(SCENARIOS_PER_SEED):
        steps: list[Any] = []
        try:
            play(ActivityScenario(services, hours=chance.randrange(96)), chance, steps)
        except AssertionError:
            print(*steps, sep="\n")  # noqa: T201  # pytest shows it with the failure.
            raise


def play(scenario: ActivityScenario, chance: random.Random, steps: list[Any]) -> None:
    def step(work: Callable[..., None], *arguments: Any) -> None:
        steps.append((work.__name__, *arguments))
        work(*arguments)

    for _ in range(RANDOM_STEPS):
        index = chance.randrange(2)
        match chance.randrange(16):
            case 0 | 1 | 2 | 3:
                step(scenario.perform, index, chance.choice(ALL_ACTIVITIES))
            case 4 | 5:
                step(scenario.wait, 24)
                step(scenario.perform, index, tap())
            case 6:
                activity = chance.choice([link(), social()])
                for _ in range(3):
                    step(scenario.perform, index, activity)
            case 7:
                step(scenario.perform_together, [chance.choice(ACTIVITIES), chance.choice(ACTIVITIES)])
            case 8:
                step(scenario.perform_and_die, index, chance.choice(ACTIVITIES))
            case 9 | 10:
                step(scenario.claim_and_die, index, chance.choice(ACTIVITIES))
            case 11:
                step(scenario.remove, index, chance.choice(["share", "review"]), chance.choice(NAMES))
            case 12:
                step(scenario.wait, chance.choice(HOURS))
                step(scenario.settle)
                step(scenario.compare_home, index)
            case 13:
                step(scenario.publish, index, chance.choice(NAMES))
            case 14:
                step(scenario.lose_valkey, chance.choice(LOSSES))
            case _:
                step(scenario.fall_behind, index, [tap(), *chance.sample(ACTIVITIES, 2)])
                step(scenario.wait, 24)
                step(scenario.perform, index, tap())
    step(scenario.close)


@pytest.fixture
def services(own_database: Settings, valkey: Redis) -> Iterator[BlockingServices]:
    with blocking(services_with_activities(own_database, capped=True)) as opened:
        yield opened
