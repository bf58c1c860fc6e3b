"""The flows give the outcomes that the preset documents' examples of orders, spending and expiry expect."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from engage import programs
from engage.domain.activity import AppSignIn, FuelTap, Registration, Review, Share
from engage.domain.program.example import Example
from engage.domain.program.program import Program
from engage.flows.programs.publish import publish
from engage.runtime.services import Services, open_services
from engage.settings import Settings
from tests.flows.golden_scenario import play
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import StoppedClock, stopped_clock

# Other tests cover examples that have only these steps.
EVERYDAY_STEPS = FuelTap | Share | Review | AppSignIn | Registration

BEGINNING = datetime(2017, 1, 1, tzinfo=UTC)


def _examples(program: Program) -> list[Example]:
    return [
        example
        for example in program.examples
        if not all(isinstance(step.do, EVERYDAY_STEPS) for step in example.steps)
    ]


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with open_services(settings, StoppedClock(BEGINNING)) as opened:
        for document in programs.presets().values():
            await publish(opened.db, document, source="preset", operator="test", clock=opened.clock)
        await opened.programs.refresh(opened.db)
        yield opened


@pytest.mark.parametrize("name", programs.names())
async def test_the_flows_agree_with_a_documents_examples(name: str, services: Services) -> None:
    program = programs.preset(name)
    differences, latest = [], BEGINNING
    for example in _examples(program):
        differences += await play(services, program, example)
        latest = max(latest, services.clock.now())
    assert differences == []
    stopped_clock(services).at = latest
    await assert_audit_is_clean(services)
