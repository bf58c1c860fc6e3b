"""The flows give what the examples of the preset campaigns expect, once operators have approved them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from engage import programs
from engage.domain.campaigns.definition import Campaign
from engage.domain.campaigns.lifecycle import DELAY
from engage.domain.program.step_validation import version_of
from engage.flows.campaigns import act as act_module
from engage.flows.campaigns.act import act
from engage.flows.campaigns.change import create
from engage.flows.programs.publish import publish
from engage.programs import campaigns
from engage.runtime.services import Services, open_services
from engage.settings import Settings
from tests.flows.golden_scenario import play
from tests.support.audit import assert_audit_is_clean
from tests.support.campaigns import operator
from tests.support.clock import StoppedClock, advance

BEFORE = datetime(2020, 9, 1, tzinfo=UTC)

EXAMPLES = [
    pytest.param(name, number, id=f"{name} {example.title}")
    for name in campaigns.names()
    for number, example in enumerate(campaigns.read(name).examples)
]


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with open_services(settings, StoppedClock(BEFORE)) as opened:
        for document in programs.presets().values():
            await publish(opened.db, document, source="preset", operator="test", clock=opened.clock)
        await opened.programs.refresh(opened.db)
        yield opened


@pytest.mark.parametrize(("name", "number"), EXAMPLES)
async def test_the_flows_agree_with_an_example_of_a_preset_campaign(
    name: str, number: int, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The clock stands still while an operator acts, however long that takes.
    monkeypatch.setattr(act_module, "COMMITS_WITHIN", timedelta(minutes=1))
    campaign = campaigns.read(name)
    await put_in_force(services, campaign)
    example = campaign.examples[number]
    versions = services.programs.versions(campaign.program)
    program = version_of(versions, example.country, example.steps)
    assert program is not None
    assert await play(services, program, example) == []
    await assert_audit_is_clean(services)


async def put_in_force(services: Services, campaign: Campaign) -> None:
    key = campaign.program, campaign.id
    await create(services, campaign, operator=operator("marketing"))
    await act(services, key, "submitted", operator=operator("marketing"))
    await act(services, key, "approved", operator=operator("approver"))
    advance(services, 2 * DELAY)
