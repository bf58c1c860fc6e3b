"""Whatever operators do with a campaign, in whatever order and whenever: it lives as the model says.

Steps are drawn: changes with the right ETag, a stale one or none, submissions, approvals by authors and by
others, rejections, pauses, ends, copies, and the clock. Every answer and code, the version in force at every
instant, and the audit log with one entry for each action are compared with the model.
"""

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from redis.asyncio import Redis

from engage.flows.operations.install import install
from engage.flows.operations.keys import create_key
from engage.runtime.services import Services
from engage.settings import Settings
from engage.store.api_keys import Scope
from tests.api.calling import Caller, Calling, calling
from tests.properties.campaign_model import ACTIONS
from tests.properties.campaign_scenario import GARBAGE, CampaignScenario
from tests.support.blocking import BlockingServices, blocking
from tests.support.clock import NOON, StoppedClock
from tests.support.generated_cases import cases

SCENARIOS = 25
STEPS = 30

TAGS = ["right", "right", "right", "stale", "missing", *(f"wrong {n}" for n in range(len(GARBAGE)))]
AUTHORS = ["anna", "ben"]

author = st.sampled_from(AUTHORS)
operator = st.sampled_from([*AUTHORS, "approver"])


class CampaignMachine(RuleBasedStateMachine):
    """Draws the steps of a scenario, and shortens those that fail."""

    blocking: BlockingServices
    api: Calling
    operators: dict[str, Caller]
    drawn: CampaignScenario | None = None

    @initialize()
    def begin(self) -> None:
        self.drawn = CampaignScenario(self.blocking, self.api, self.operators)

    @property
    def scenario(self) -> CampaignScenario:
        assert self.drawn is not None
        return self.drawn

    @rule(
        operator=author,
        tag=st.sampled_from(TAGS),
        title=st.sampled_from("AB"),
        begin_s=st.sampled_from([-3_600, 0, 2, 60]),
        lasts_s=st.sampled_from([30, 3_600, 864_000]),
    )
    def put(self, operator: str, tag: str, title: str, begin_s: int, lasts_s: int) -> None:
        self.scenario.put(operator, tag=tag, title=title, begin_s=begin_s, lasts_s=lasts_s)

    @rule(action=st.sampled_from(ACTIONS), operator=operator)
    def act(self, action: str, operator: str) -> None:
        self.scenario.act(action, operator)

    @rule(steps=st.integers(1, 3))
    def go_on(self, steps: int) -> None:
        for _ in range(steps):
            self.scenario.go_on()

    @rule()
    def duplicate(self) -> None:
        self.scenario.duplicate()

    @rule(seconds=st.sampled_from([0.3, 1, 1.999_999, 2, 29, 60, 3_600]))
    def wait(self, seconds: float) -> None:
        self.scenario.wait(seconds)

    def teardown(self) -> None:
        # After a failed step there is nothing to compare.
        if self.drawn is not None and sys.exc_info()[0] is None:
            self.drawn.close()


@pytest.fixture
def machine(own_database: Settings, valkey: Redis) -> Iterator[type[CampaignMachine]]:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Services]:
        await install(own_database)
        async with calling(own_database, StoppedClock(NOON)) as api:
            CampaignMachine.api = api
            CampaignMachine.operators = {name: await _caller(api, name, "admin") for name in AUTHORS}
            CampaignMachine.operators["approver"] = await _caller(api, "approver", "approve")
            yield api.services

    with blocking(opened()) as services:
        CampaignMachine.blocking = services
        yield CampaignMachine


async def _caller(api: Calling, name: str, scope: Scope) -> Caller:
    key = await create_key(api.services.db, name=name, scopes=[scope], programs=None)
    return Caller(api.client, f"Bearer {key}")


def test_every_campaign_lives_as_the_model_says(machine: type[CampaignMachine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=hypothesis_settings(
            max_examples=cases(SCENARIOS),
            stateful_step_count=STEPS,
            suppress_health_check=list(HealthCheck),
        ),
    )
