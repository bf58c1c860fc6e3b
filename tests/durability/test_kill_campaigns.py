"""An API is killed as an action on a campaign commits: it is done once or not at all, and its repeat safe."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest

from engage.flows.operations.install import install
from engage.runtime.services import Services, open_services
from engage.sandbox_secrets import SandboxSecrets, read
from engage.settings import Settings
from tests.api.process import api_process
from tests.support.audit import assert_audit_is_clean
from tests.support.database import rows

PROGRAM = "eu-mi-points"
CAMPAIGNS = "/v1/admin/campaigns"
ACTIONS = {"approve": ("approved", "running"), "end": ("ended", "ended")}


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    await install(settings)
    async with open_services(settings) as opened:
        yield opened
        await assert_audit_is_clean(opened)


@asynccontextmanager
async def serving(
    services: Services, folder: Path, dies: Literal["before", "after", "never"]
) -> AsyncIterator[httpx.AsyncClient]:
    command = [sys.executable, "-m", "tests.durability.act_and_die", dies]
    async with (
        api_process(services.settings, folder, command) as api,
        httpx.AsyncClient(base_url=api.url, timeout=30) as client,
    ):
        yield client


def secrets(services: Services) -> SandboxSecrets:
    assert services.settings.sandbox is not None
    return read(services.settings.sandbox)


def headers(services: Services, action: str) -> dict[str, str]:
    known = secrets(services)
    key = known.approver_key if action == "approve" else known.admin_key
    return {"authorization": f"Bearer {key}"}


async def submit(client: httpx.AsyncClient, services: Services) -> None:
    """Write a campaign, and submit it."""
    sent: dict[str, Any] = {
        "id": "spring",
        "program": PROGRAM,
        "title": {"en": "Spring"},
        "from": "2026-01-01T00:00:00",
        "until": "2099-01-01T00:00:00",
        "boosts": [{"id": "reviews", "rules": ["review"], "multiply": 2}],
    }
    made = await client.post(CAMPAIGNS, json=sent, headers=headers(services, "create"))
    assert made.status_code == 201, made.text
    path = f"{CAMPAIGNS}/spring/submit"
    assert (await client.post(path, headers=headers(services, "submit"))).status_code == 200


async def actions(services: Services) -> list[object]:
    """The actions that are stored, each with its entry of the audit log."""
    found = await rows(
        services.db, "SELECT kind FROM campaign_actions WHERE campaign_id = 'spring' ORDER BY number"
    )
    log = "SELECT action FROM audit_log WHERE subject = 'campaign:spring' ORDER BY seq"
    assert await rows(services.db, log) == found
    return [kind for (kind,) in found]


@pytest.mark.parametrize("dies", ["before", "after"])
async def test_an_action_that_nobody_answered_is_repeated_safely(
    services: Services, tmp_path: Path, dies: Literal["before", "after"]
) -> None:
    stored: list[object] = ["created", "submitted"]
    folders = [tmp_path / name for name in ("living", "dying")]
    for folder in folders:
        folder.mkdir()
    async with serving(services, folders[0], "never") as client:
        await submit(client, services)
        for action, (kind, state) in ACTIONS.items():
            sent = headers(services, action) | {"idempotency-key": f"spring-{action}"}
            path = f"{CAMPAIGNS}/spring/{action}"
            async with serving(services, folders[1], dies) as dying:
                with pytest.raises(httpx.TransportError):
                    await dying.post(path, headers=sent)
            assert await actions(services) == [*stored, *([kind] if dies == "after" else [])]
            stored.append(kind)
            for replayed in (dies == "after", True):
                answer = await client.post(path, headers=sent)
                assert (answer.status_code, answer.json()) == (200, {"state": state, "version": 1})
                assert ("idempotency-replayed" in answer.headers) == replayed
                assert await actions(services) == stored
            # Who repeats it without a key learns that it is done.
            refused = await client.post(path, headers=headers(services, action))
            assert (refused.status_code, refused.json()["code"]) == (409, "wrong_state")
            assert refused.json()["state"] == state
            assert await actions(services) == stored
