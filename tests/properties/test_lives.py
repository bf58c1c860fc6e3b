"""Random campaigns, operators and members leave the ledger as the plain model says.

Campaigns of all kinds are published, changed, paused, resumed and ended while members do activities, pay
orders and give them back, in time or late, around the instants at which something begins or ends. After every
step the credits of the member, with what campaigns paid beside them, the balance and the rest of each budget
are compared with the model; every scenario ends with a clean audit.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from engage.flows.campaigns import act as act_module
from engage.settings import Settings
from tests.conftest import fresh_database
from tests.properties.lives_documents import (
    CATEGORIES,
    CHANNELS,
    PRODUCTS,
    TERMS,
    document,
    next_version,
)
from tests.properties.lives_model import Line
from tests.properties.lives_scenario import MemberLives
from tests.support.generated_cases import cases
from tests.support.programs import services_with

SCENARIOS = 5
STEPS = 60

IDS = ("c0", "c1", "c2", "c3")
WAITS = [timedelta(minutes=6), timedelta(hours=3), timedelta(hours=13)]
LATE = [timedelta(), timedelta(), timedelta(minutes=7), timedelta(hours=5), timedelta(hours=40)]

# Prices of a piece that pay whole points and leave remainders.
PRICES = [50, 250, 999, 3_351, 12_345]


def draw_lines(chance: Random) -> list[Line]:
    found = []
    for _ in range(chance.choice([1, 2, 3])):
        quantity = chance.choice([1, 2, 3])
        paid = quantity * chance.choice(PRICES)
        found.append(Line(paid, quantity, chance.choice(PRODUCTS), chance.choice(CATEGORIES)))
    return found


class Play:
    """Steps of a scenario, drawn at random and noted for a failure."""

    def __init__(self, scenario: MemberLives, chance: Random) -> None:
        self.scenario, self.chance = scenario, chance
        self.steps: list[tuple[Any, ...]] = []

    async def step(self, work: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        self.steps.append((str(self.scenario.clock.now()), work.__name__, *arguments))
        await work(*arguments)
        self.scenario.tick()

    async def play(self) -> None:
        await self.step(self.scenario.begin)
        for id_ in IDS:
            await self.step(self.scenario.operators.publish, document(self.chance, id_))
        for _ in range(STEPS):
            await self.draw()
        await self.step(self.scenario.close)

    async def draw(self) -> None:
        scenario, chance = self.scenario, self.chance
        number = chance.randrange(100)
        match chance.randrange(25):
            case 0 | 1:
                await self.step(scenario.tap, number)
            case 2 | 3:
                await self.step(scenario.share, number, chance.choice(LATE))
            case 4 | 5 | 6:
                await self.step(scenario.review, number, chance.choice(LATE))
            case 7 | 8 | 9 | 10 | 11:
                lines, channel = draw_lines(chance), chance.choice(CHANNELS)
                await self.step(scenario.pay, number, lines, channel, chance.choice(LATE))
            case 12 | 13:
                await self.step(scenario.deliver, number)
            case 14 | 15 | 16:
                await self.step(scenario.give_back, number, [chance.randrange(3) for _ in range(3)])
            case 17:
                await self.step(chance.choice([scenario.cancel, scenario.remove_review]), number)
            case 18 | 19 | 20:
                await self.operate(number)
            case 21:
                await self.step(scenario.wait, chance.choice(WAITS))
            case 22:
                before = chance.choice([timedelta(), timedelta(microseconds=1)])
                # The next step is at that time.
                await scenario.wait_for_edge(chance.randrange(2), before)
            case 23:
                await self.step(scenario.join, chance.choice(["ES", "IN"]))
            case _:
                await self.settle_accounts(number)

    async def operate(self, number: int) -> None:
        scenario, chance = self.scenario, self.chance
        id_ = chance.choice(IDS)
        known = scenario.model.campaigns.get(id_)
        if known is None:
            await self.step(scenario.operators.publish, document(chance, id_))
        elif chance.random() < 0.3:
            await self.step(scenario.operators.publish, next_version(chance, known.newest))
        else:
            likely = "resumed" if known.is_paused else "paused"
            action = chance.choice([likely] * 4 + ["paused", "resumed", "ended"])
            await self.step(scenario.operators.switch, id_, action)

    async def settle_accounts(self, number: int) -> None:
        scenario, chance = self.scenario, self.chance
        match chance.randrange(4):
            case 0 | 1:
                await self.step(scenario.merge)
            case 2:
                await self.step(scenario.erase, number)
            case _:
                await self.step(scenario.list_members, [chance.randrange(100) for _ in range(2)])


async def play(migrated: Settings, seed: int) -> None:
    """Each scenario has a database of its own: shares of members depend on nothing else."""
    async with fresh_database(migrated) as settings, services_with(settings, TERMS) as services:
        await services.gate.forget_all()
        playing = Play(MemberLives(services), Random(seed))
        try:
            await playing.play()
        except Exception:
            print(f"seed {seed}", *playing.steps, sep="\n")  # noqa: T201  # pytest shows it with the failure.
            raise


@given(seed=st.integers(0, 2**32 - 1))
@hypothesis_settings(
    max_examples=cases(SCENARIOS),
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],  # Another seed is another scenario, and no simpler one.
)
def test_every_scenario_pays_what_the_model_says(
    migrated: Settings, valkey: Redis, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    # The clock stands still while an operator acts, however long that takes.
    monkeypatch.setattr(act_module, "COMMITS_WITHIN", timedelta(minutes=1))
    asyncio.run(play(migrated, seed))
