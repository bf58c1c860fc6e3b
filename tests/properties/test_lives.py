"""Members live, servers forget, processes die: what the system says is what a plain model says.

One PostgreSQL and one Valkey; what happens next is drawn: activities alone and together, removals before
and after, the clock, settlements; Valkey emptied, rebuilt, or put back to how it was a while ago; callers
that die with places claimed, or with nothing done of what follows an answer. After every step the answer has
to be the model's, and the home screen too; at the end of every life the audit is clean.
"""

import asyncio
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
from tests.properties.town import Loss, Town, World
from tests.support.activities import link, review, services_with_activities, social, tap

DRAWN_LIVES = 25
DRAWN_STEPS = 25
CHANCES = 4
CHANCE_LIVES = 6
CHANCE_STEPS = 40

HOURS = [0.1, 7, 24, 48]
LOSSES: list[Loss] = ["emptied", "rebuilt"]
NAMES = ["1", "2", "3"]
DEEDS: list[AnyActivity] = [
    tap(),
    tap(),
    link(),
    social(),
    *[link(name) for name in NAMES],
    *[social(name) for name in NAMES],
    *[review(product, name) for product in ("band", "watch") for name in NAMES],
]
ACTIVITIES = [*DEEDS, AppSignIn()]

deed = st.sampled_from(DEEDS)
who = st.integers(0, 1)


class Lives(RuleBasedStateMachine):
    """Draws what happens in a town; what fails is made as short as can be."""

    world: World
    town: Town | None = None

    @initialize(hours=st.integers(0, 96))
    def begin(self, hours: int) -> None:
        self.town = Town(self.world, hours=hours)

    @property
    def here(self) -> Town:
        assert self.town is not None
        return self.town

    @rule(who=who, activities=st.lists(st.sampled_from(ACTIVITIES), min_size=1, max_size=8))
    def do(self, who: int, activities: list[AnyActivity]) -> None:
        for activity in activities:
            self.here.do(who, activity)

    @rule(who=who, activity=st.sampled_from([link(), social()]))
    def use_up(self, who: int, activity: AnyActivity) -> None:
        self.do(who, [activity] * 4)

    @rule(who=who, days=st.integers(1, 4))
    def tap_each_day(self, who: int, days: int) -> None:
        for _ in range(days):
            self.here.wait(24)
            self.here.do(who, tap())

    @rule(first=deed, second=deed)
    def do_together(self, first: AnyActivity, second: AnyActivity) -> None:
        self.here.do_together([first, second])

    @rule(who=who, activities=st.lists(deed, min_size=1, max_size=3), answered=st.booleans())
    def die(self, who: int, activities: list[AnyActivity], answered: bool) -> None:
        for activity in activities:
            (self.here.do_and_die if answered else self.here.claim_and_die)(who, activity)

    @rule(who=who, kind=st.sampled_from(["share", "review"]), name=st.sampled_from(NAMES))
    def remove(self, who: int, kind: str, name: str) -> None:
        self.here.remove(who, kind, name)

    @rule(hours=st.sampled_from(HOURS), settling=st.booleans())
    def let_time_pass(self, hours: float, settling: bool) -> None:
        self.here.wait(hours)
        if settling:
            self.here.settle()

    @rule(how=st.sampled_from(LOSSES))
    def lose_valkey(self, how: Loss) -> None:
        self.here.lose_valkey(how)

    @rule(who=who, activities=st.lists(deed, min_size=1, max_size=4))
    def fall_behind(self, who: int, activities: list[AnyActivity]) -> None:
        self.here.fall_behind(who, activities)

    @rule(who=who)
    def look_at_home(self, who: int) -> None:
        self.here.look_at_home(who)

    def teardown(self) -> None:
        # What went wrong before has been found.
        if self.town is not None and sys.exc_info()[0] is None:
            self.town.close()


def test_every_life_goes_as_the_model_says(world: World) -> None:
    Lives.world = world
    run_state_machine_as_test(
        Lives,
        settings=hypothesis_settings(
            max_examples=DRAWN_LIVES,
            stateful_step_count=DRAWN_STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        ),
    )


@pytest.mark.parametrize("seed", range(CHANCES))
def test_lives_of_plain_chance_go_as_the_model_says(world: World, seed: int) -> None:
    """Drawn without a look back, these differ more from each other. A failure shows its seed and steps."""
    chance = random.Random(seed)
    for _ in range(CHANCE_LIVES):
        steps: list[Any] = []
        try:
            live(Town(world, hours=chance.randrange(96)), chance, steps)
        except AssertionError:
            print(*steps, sep="\n")  # noqa: T201  # pytest shows it with the failure.
            raise


def live(town: Town, chance: random.Random, steps: list[Any]) -> None:
    def step(work: Callable[..., None], *arguments: Any) -> None:
        steps.append((work.__name__, *arguments))
        work(*arguments)

    for _ in range(CHANCE_STEPS):
        who = chance.randrange(2)
        match chance.randrange(15):
            case 0 | 1 | 2 | 3:
                step(town.do, who, chance.choice(ACTIVITIES))
            case 4 | 5:
                step(town.wait, 24)
                step(town.do, who, tap())
            case 6:
                activity = chance.choice([link(), social()])
                for _ in range(3):
                    step(town.do, who, activity)
            case 7:
                step(town.do_together, [chance.choice(DEEDS), chance.choice(DEEDS)])
            case 8:
                step(town.do_and_die, who, chance.choice(DEEDS))
            case 9 | 10:
                step(town.claim_and_die, who, chance.choice(DEEDS))
            case 11:
                step(town.remove, who, chance.choice(["share", "review"]), chance.choice(NAMES))
            case 12:
                step(town.wait, chance.choice(HOURS))
                step(town.settle)
                step(town.look_at_home, who)
            case 13:
                step(town.lose_valkey, chance.choice(LOSSES))
            case _:
                step(town.fall_behind, who, [tap(), *chance.sample(DEEDS, 2)])
                step(town.wait, 24)
                step(town.do, who, tap())
    step(town.close)


@pytest.fixture
def world(own_database: Settings, valkey: Redis) -> Iterator[World]:
    """Its loop runs only while something is asked."""
    loop = asyncio.new_event_loop()
    context = services_with_activities(own_database)
    try:
        parts = loop.run_until_complete(context.__aenter__())
        client = Redis.from_url(own_database.state_url)
        yield World(own_database, parts, client, loop)
        loop.run_until_complete(client.aclose())
        loop.run_until_complete(context.__aexit__(None, None, None))
    finally:
        loop.close()
