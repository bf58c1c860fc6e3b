"""Protection over HTTP: the device of the token decides, and operators review what is held."""

from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest

from engage.flows.programs.publish import publish
from engage.settings import Settings
from engage.tokens.signing import sign
from tests.api.calling import LIFETIME, Caller, Calling, calling, fields, problem
from tests.support.clock import NOON, StoppedClock, stopped_clock
from tests.support.protection import PROGRAM, document

QUEUE = "/v1/admin/suspicions"
TAPS = "/v1/fuel/taps"
NORMAL, LATE = "2026-11-21T12:05:00Z", "2026-11-24T12:05:00Z"
REASON = {"reason": "one person"}

UNATTESTED = """
[[protection.velocity]]
id = "unattested"
per = "device"
counts = "members"
at_most = 1
per_window = "day"
hold = "P3D"
attested = false

[[protection.velocity]]
id = "crowd"
per = "network"
counts = "members"
at_most = 1000
per_window = "day"
hold = "P1D"
"""

_devices = count(1)


@pytest.fixture(scope="module")
async def opened(installed: Settings) -> AsyncIterator[Calling]:
    async with calling(installed, StoppedClock(NOON)) as opened:
        services = opened.services
        await publish(services.db, document(UNATTESTED), source="test", operator="test", clock=services.clock)
        await services.programs.refresh(services.db)
        yield opened


@pytest.fixture
def api(opened: Calling) -> Calling:
    """The API, at NOON again."""
    stopped_clock(opened.services).at = NOON
    return opened


async def on_device(api: Calling, device: str, *, attested: bool = False) -> Caller:
    member = (await api.joined(program=PROGRAM)).member_id
    token = sign(api.secrets, PROGRAM, member, LIFETIME, device=device, attested=attested)
    return Caller(api.client, f"Bearer {token}", member)


async def due_of_tap(member: Caller) -> str:
    answer = await member.post(TAPS)
    assert answer.status_code == 202, answer.text
    (credit,) = answer.json()["credits"]
    assert credit["state"] == "pending"
    return str(credit["due_at"])


async def suspicion(api: Calling) -> dict[str, Any]:
    """Hold the points of two of three members on a new device; their suspicion."""
    device = f"tablet {next(_devices)}"
    for due_at in (NORMAL, LATE, LATE):
        assert await due_of_tap(await on_device(api, device)) == due_at
    answer = await api.operator.get(f"{QUEUE}?state=open&program={PROGRAM}")
    found: dict[str, Any] = answer.json()["items"][0]
    return found


async def test_the_device_of_the_token_decides_and_an_attested_one_is_another_matter(api: Calling) -> None:
    assert [await due_of_tap(await on_device(api, "phone")) for _ in range(2)] == [NORMAL, LATE]
    attested = [await due_of_tap(await on_device(api, "kiosk", attested=True)) for _ in range(2)]
    assert attested == [NORMAL, NORMAL]
    without = [await due_of_tap(await on_device(api, "")) for _ in range(2)]
    assert without == [NORMAL, NORMAL], "nobody knows whether they share a device"


async def test_the_answer_says_until_when_points_are_held_and_not_why_exactly(api: Calling) -> None:
    await due_of_tap(await on_device(api, "watch"))
    answer = await (await on_device(api, "watch")).post(TAPS, accept_language="en")
    why = answer.json()["credits"][0]["why"]["text"]
    assert why.endswith("This is held for review until 24 November 2026.")
    assert "unattested" not in why


async def test_an_operator_decides_about_all_members_of_a_device_at_once(api: Calling) -> None:
    found = await suspicion(api)
    assert (found["rule"], found["per"], found["at_most"], found["window"]) == (
        "unattested",
        "device",
        1,
        "2026-11-21",
    )
    assert (found["members"], found["credits"], found["points"], found["pending"]) == (2, 2, 4, 4)
    path = f"{QUEUE}/{found['id']}"
    detail = (await api.operator.get(path)).json()
    assert [held["points"] for held in detail["held"]] == [2, 2]
    assert len(detail["counted"]) == 1
    rejected = await api.operator.post(f"{path}/reject", REASON, idempotency_key=f"{found['id']}-1")
    assert (rejected.json()["kind"], rejected.json()["reason"]) == ("rejected", "one person")
    again = await api.operator.post(f"{path}/reject", REASON, idempotency_key=f"{found['id']}-1")
    assert again.json() == rejected.json()
    refused = problem(await api.operator.post(f"{path}/reject", REASON), 409, "wrong_state")
    assert refused["state"] == "rejected"
    state = (await api.operator.get(path)).json()["suspicion"]
    assert (state["state"], state["points"]) == ("rejected", 0)
    undone = await api.operator.post(f"{path}/undo", {"reason": "a school"})
    assert undone.json()["undone_reason"] == "a school"
    detail = (await api.operator.get(path)).json()
    assert (detail["suspicion"]["state"], detail["suspicion"]["pending"]) == ("open", 4)
    assert {held["due_at"] for held in detail["held"]} == {LATE}
    released = await api.operator.post(f"{path}/release", {"reason": "a school"})
    assert released.json()["kind"] == "released"
    detail = (await api.operator.get(path)).json()
    assert detail["suspicion"]["state"] == "released"
    assert [decision["kind"] for decision in detail["decisions"]] == ["released", "rejected"]


async def test_the_queue_is_filtered_and_read_page_by_page(api: Calling) -> None:
    found = [await suspicion(api) for _ in range(3)]
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await api.operator.get(f"{QUEUE}?state=open&limit=1&cursor={cursor}")).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert seen[:3] == [item["id"] for item in reversed(found)]
    of_device = (await api.operator.get(f"{QUEUE}?source={found[0]['source']}")).json()["items"]
    assert [item["id"] for item in of_device] == [found[0]["id"]]
    assert (await api.operator.get(f"{QUEUE}?program=eu-mi-points")).json()["items"] == []
    assert fields(problem(await api.operator.get(f"{QUEUE}?source=xyz"), 400, "invalid_request")) == [
        "source"
    ]


async def test_a_decision_needs_a_reason_and_something_to_decide_about(api: Calling) -> None:
    path = f"{QUEUE}/{(await suspicion(api))['id']}"
    for body in ({}, {"reason": ""}, {"reason": "a\nb"}):
        refused = await api.operator.post(f"{path}/reject", body)
        assert fields(problem(refused, 400, "invalid_request")) == ["reason"]
    problem(await api.operator.post(f"{path}/undo", REASON), 409, "wrong_state")
    unknown = f"{QUEUE}/01990000-0000-7000-8000-000000000000"
    problem(await api.operator.get(unknown), 404, "not_found")
    problem(await api.operator.post(f"{unknown}/undo", REASON), 404, "not_found")
    problem(await api.shop.post(f"{path}/reject", REASON), 403, "forbidden")
