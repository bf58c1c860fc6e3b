"""The life of campaigns over HTTP."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest

from engage.settings import Settings
from tests.api.calling import PROGRAM, Caller, Calling, calling
from tests.support.clock import NOON, StoppedClock, advance

CAMPAIGNS = "/v1/admin/campaigns"
_numbers = count(1)


def document(**changes: Any) -> dict[str, Any]:
    """Twice the points for reviews, from NOON for ten days, in each country's own zone."""
    return {
        "id": f"spring-{next(_numbers)}",
        "program": PROGRAM,
        "title": {"en": "Spring"},
        "from": "2026-11-21T12:00:00",
        "until": "2026-12-01T12:00:00",
        "boosts": [{"id": "reviews", "rules": ["review"], "multiply": 2}],
    } | changes


@pytest.fixture
async def api(installed: Settings) -> AsyncIterator[Calling]:
    """An open API whose clock stands at NOON."""
    async with calling(installed, StoppedClock(NOON)) as opened:
        yield opened


async def written(api: Calling, **changes: Any) -> str:
    """The path of a new draft."""
    sent = document(**changes)
    made = await api.operator.post(CAMPAIGNS, sent)
    assert (made.status_code, made.json()) == (201, {"id": sent["id"], "version": 1, "state": "draft"}), (
        made.text
    )
    return f"{CAMPAIGNS}/{sent['id']}"


async def act(caller: Caller, path: str, action: str) -> dict[str, Any]:
    done = await caller.post(f"{path}/{action}")
    assert done.status_code == 200, done.text
    answer: dict[str, Any] = done.json()
    return answer


def in_force(api: Calling, path: str, at: datetime) -> list[int]:
    """The versions of a campaign that are in force in Spain, of what this process knows."""
    known = api.services.campaigns.of(PROGRAM).in_force(at, country="ES", zone="Europe/Madrid")
    return [each.version for each in known if path.endswith(f"/{each.id}")]


async def test_a_campaign_is_written_submitted_approved_paused_resumed_and_ended(api: Calling) -> None:
    path = await written(api)
    now = api.services.clock.now()
    assert await act(api.operator, path, "submit") == {"state": "submitted", "version": 1}
    assert await act(api.approver, path, "approve") == {"state": "running", "version": 1}
    assert in_force(api, path, now + timedelta(seconds=0.9)) == []
    assert in_force(api, path, now + timedelta(seconds=2)) == [1]
    advance(api.services, timedelta(minutes=1))
    assert await act(api.operator, path, "pause") == {"state": "paused", "version": 1}
    assert in_force(api, path, now + timedelta(seconds=60)) == [1]
    assert in_force(api, path, now + timedelta(seconds=62)) == []
    advance(api.services, timedelta(minutes=1))
    assert await act(api.operator, path, "resume") == {"state": "running", "version": 1}
    assert in_force(api, path, now + timedelta(seconds=121)) == [1]
    advance(api.services, timedelta(minutes=1))
    assert await act(api.operator, path, "end") == {"state": "ended", "version": 1}
    assert in_force(api, path, now + timedelta(seconds=181)) == []
    shown = (await api.operator.get(path)).json()
    assert [action["action"] for action in shown["actions"]] == [
        *("created", "submitted", "approved", "paused", "resumed", "ended")
    ]
    assert [action["operator"] for action in shown["actions"][1:3]] == [
        "sandbox operator",
        "sandbox approver",
    ]


async def test_a_report_is_also_about_countries_that_a_later_version_of_the_program_does_not_name(
    api: Calling,
) -> None:
    newest = api.services.programs.versions(PROGRAM)[-1]
    assert "ES" not in newest.countries
    audience = {"countries": ["ES"], "joined_after": "2026-01-01T00:00:00"}
    path = await written(api, holdout_percent=10, audience=audience)
    await act(api.operator, path, "submit")
    await act(api.approver, path, "approve")
    advance(api.services, timedelta(minutes=1))
    found = await api.operator.get(f"{path}/report")
    assert found.status_code == 200, found.text
    assert set(found.json()["holdout"]) >= {"members", "rate", "uplift", "interval"}
