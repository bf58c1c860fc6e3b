"""Backtests over HTTP: started, watched, cancelled and listed."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from engage.flows.backtests.start import MOST_RUNNING
from engage.flows.backtests.work import take_step
from engage.settings import Settings
from tests.api.calling import PROGRAM, Calling, calling, fields, problem
from tests.support.backtests import work
from tests.support.clock import NOON, StoppedClock, advance

BACKTESTS = "/v1/admin/campaigns/backtests"
WINDOW = {"from": "2026-11-01T00:00:00Z", "until": "2026-11-21T12:00:00Z"}


def document(**changes: Any) -> dict[str, Any]:
    return {
        "id": "spring",
        "program": PROGRAM,
        "title": {"en": "Spring"},
        "from": "2026-12-01T00:00:00",
        "until": "2026-12-11T00:00:00",
        "boosts": [{"id": "taps", "rules": ["fuel"], "multiply": 2}],
    } | changes


def asked(**changes: Any) -> dict[str, Any]:
    return {"document": document(), **WINDOW} | changes


@pytest.fixture
async def api(installed: Settings) -> AsyncIterator[Calling]:
    """An open API whose clock stands at NOON, with no backtest that runs."""
    async with calling(installed, StoppedClock(NOON)) as opened:
        yield opened
        await work(opened.services)


async def started(api: Calling, **changes: Any) -> str:
    answer = await api.operator.post(BACKTESTS, asked(**changes))
    assert answer.status_code == 202, answer.text
    return f"{BACKTESTS}/{answer.json()['backtest_id']}"


async def test_a_backtest_runs_and_its_result_is_kept_in_the_list(api: Calling) -> None:
    member = await api.joined()
    assert (await member.post("/v1/fuel/taps", {})).status_code == 202
    advance(api.services, timedelta(seconds=1))
    path = await started(api, until="2026-11-21T12:00:01Z")
    running = (await api.operator.get(path)).json()
    assert (running["state"], running["progress"], running["result"]) == ("running", 0, None)
    assert (running["program"], running["campaign"]) == (PROGRAM, "spring")
    assert (running["from"], running["until"]) == ("2026-11-01T00:00:00Z", "2026-11-21T12:00:01Z")
    await work(api.services)
    done = (await api.operator.get(path)).json()
    assert (done["state"], done["progress"]) == ("done", 1)
    result = done["result"]
    # Joining pays fifty points, and a tap two.
    assert (result["activities"], result["granted_points"], result["would_points"]) == (2, 52, 54)
    assert result["cost"] == {"amount": 2, "currency": "EUR"}
    assert result["most_affected"] == [
        {"member_id": member.member_id, "granted_points": 52, "would_points": 54, "difference_points": 2}
    ]
    assert (await api.approver.get(BACKTESTS)).json()["items"][0] == done


async def test_progress_never_goes_back(api: Calling, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engage.flows.backtests.finish.MEMBERS_PER_PART", 2)
    for _ in range(7):
        await api.joined()
    path = await started(api)
    seen = [(await api.operator.get(path)).json()["progress"]]
    while await take_step(api.services):
        seen.append((await api.operator.get(path)).json()["progress"])
    assert seen == sorted(seen)
    assert len(set(seen)) >= 4
    assert (seen[0], seen[-1]) == (0, 1)


async def test_a_backtest_is_cancelled_once_and_stays_in_the_list(api: Calling) -> None:
    path = await started(api)
    cancelled = await api.operator.delete(path)
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    assert (await api.operator.delete(path)).json() == cancelled.json()
    await work(api.services)
    assert (await api.operator.get(path)).json() == cancelled.json()
    assert cancelled.json() in (await api.operator.get(BACKTESTS)).json()["items"]


async def test_a_backtest_that_is_done_is_not_cancelled(api: Calling) -> None:
    path = await started(api)
    await work(api.services)
    assert problem(await api.operator.delete(path), 409, "wrong_state")["state"] == "done"


async def test_problems_of_the_document_are_all_named_at_their_fields(api: Calling) -> None:
    broken = document(title={}, boosts=[{"id": "taps", "rules": [], "multiply": 0}])
    refused = problem(await api.operator.post(BACKTESTS, asked(document=broken)), 422, "invalid_document")
    assert set(fields(refused)) >= {
        "document.title",
        "document.boosts[0].rules",
        "document.boosts[0].multiply",
    }
    ends_first = document(until="2026-11-01T00:00:00")
    refused = problem(await api.operator.post(BACKTESTS, asked(document=ends_first)), 422, "invalid_document")
    assert fields(refused) == ["document.until"]


async def test_a_window_is_in_the_past_and_begins_before_it_ends(api: Calling) -> None:
    for window, field in (
        ({"until": "2026-11-21T12:00:01Z"}, "until"),
        ({"from": "2026-11-21T12:00:00Z"}, "until"),
        ({"from": "1999-12-31T00:00:00Z"}, "from"),
        ({"from": "0001-01-01T00:00:00+14:00"}, "from"),
        ({"until": "9999-12-31T23:59:59-14:00"}, "until"),
        ({"from": "yesterday"}, "from"),
        ({"extra": 1}, "extra"),
    ):
        refused = problem(await api.operator.post(BACKTESTS, asked(**window)), 400, "invalid_request")
        assert fields(refused) == [field]


async def test_local_times_are_those_of_the_main_country(api: Calling) -> None:
    path = await started(api, **{"from": "2026-11-01T00:00:00", "until": "2026-11-21T13:00:00"})
    shown = (await api.operator.get(path)).json()
    assert (shown["from"], shown["until"]) == ("2026-10-31T23:00:00Z", "2026-11-21T12:00:00Z")


async def test_the_same_request_under_a_key_starts_one_backtest(api: Calling) -> None:
    answers = [await api.operator.post(BACKTESTS, asked(), idempotency_key="k-backtest") for _ in range(2)]
    assert answers[0].json() == answers[1].json()


async def test_not_too_many_backtests_of_a_program_run_at_once(api: Calling) -> None:
    answers = await asyncio.gather(*(api.operator.post(BACKTESTS, asked()) for _ in range(MOST_RUNNING + 3)))
    refused = [answer for answer in answers if answer.status_code != 202]
    assert len(refused) == 3
    assert problem(refused[0], 409, "too_many_backtests")["limit"] == MOST_RUNNING


async def test_a_backtest_is_an_operators(api: Calling) -> None:
    path = await started(api)
    problem(await api.approver.post(BACKTESTS, asked()), 403, "forbidden")
    problem(await api.approver.delete(path), 403, "forbidden")
    problem(await api.shop.get(path), 403, "forbidden")
    problem(await api.nobody.get(BACKTESTS), 401, "unauthorized")
    unknown = f"{BACKTESTS}/019aa3c0-7c1e-7b6a-9d6e-2f1f0f6d3a10"
    problem(await api.operator.get(unknown), 404, "not_found")
    problem(await api.operator.delete(unknown), 404, "not_found")


async def approved(api: Calling, campaign: dict[str, Any]) -> None:
    """Write a campaign, and approve it as somebody else."""
    campaigns = "/v1/admin/campaigns"
    for operator, path, body in (
        (api.operator, campaigns, campaign),
        (api.operator, f"{campaigns}/{campaign['id']}/submit", {}),
        (api.approver, f"{campaigns}/{campaign['id']}/approve", {}),
    ):
        answer = await operator.post(path, body)
        assert answer.status_code in (200, 201), answer.text


async def test_an_approved_backtest_is_granted_once(api: Calling) -> None:
    campaign = document(id="granted")
    begin = advance(api.services, timedelta(minutes=10))
    member = await api.joined()
    assert (await member.post("/v1/fuel/taps", {})).status_code == 202
    until = advance(api.services, timedelta(seconds=1))
    window = {"from": begin.isoformat(), "until": until.isoformat()}
    path = await started(api, document=campaign, **window)
    assert problem(await api.operator.post(f"{path}/grant", {}), 409, "wrong_state")["state"] == "running"
    await work(api.services)
    assert (await api.operator.get(path)).json()["grant"] is None
    refused = problem(await api.operator.post(f"{path}/grant", {}), 409, "not_approved")
    assert refused["campaign"] == "granted"
    await approved(api, campaign)
    answer = await api.operator.post(f"{path}/grant", {})
    assert answer.status_code == 202
    begun = answer.json()["grant"]
    assert (begun["done"], begun["members"], begun["points"]) == (False, 0, 0)
    await work(api.services)
    again = await api.approver.post(f"{path}/grant", {})
    assert again.status_code == 202
    assert again.json()["grant"] == begun | {"done": True, "members": 1, "points": 2}
    items = (await member.get("/v1/me/credits")).json()["items"]
    (credit,) = [each for each in items if each["rule"] == "adjustment"]
    assert (credit["points"], credit["campaign"], credit["state"]) == (2, "granted", "active")


async def test_one_time_of_a_campaign_is_granted_by_one_backtest(api: Calling) -> None:
    campaign = document(id="twice")
    first, second = await started(api, document=campaign), await started(api, document=campaign)
    await work(api.services)
    await approved(api, campaign)
    assert (await api.operator.post(f"{first}/grant", {})).status_code == 202
    refused = problem(await api.operator.post(f"{second}/grant", {}), 409, "granted_already")
    assert first.endswith(refused["backtest_id"])
    problem(await api.shop.post(f"{second}/grant", {}), 403, "forbidden")
