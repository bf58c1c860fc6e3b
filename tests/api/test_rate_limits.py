"""Rate limits of requests: who asks too often is answered 429, and has changed nothing."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from zlib import crc32

import httpx
import pytest
from msgspec.structs import replace

from engage.flows.operations.keys import create_key
from engage.settings import Settings
from engage.tokens.signing import sign
from tests.api.calling import PROGRAM, Caller, Calling, calling, problem
from tests.console.browsing import Browser
from tests.support.clock import NOON, StoppedClock

# Whole again after hours, so that no test depends on its duration.
QUOTA = 5
LIMIT = f"{QUOTA}/36000"


@pytest.fixture
async def api(installed: Settings) -> AsyncIterator[Calling]:
    limited = replace(installed, limit_member=LIMIT, limit_network=LIMIT, trusted_proxies="127.0.0.0/8")
    async with calling(limited, StoppedClock(NOON)) as opened:
        yield opened


def limited(answer: httpx.Response, policy: str) -> dict[str, Any]:
    document = problem(answer, 429, "rate_limited")
    assert document["policy"] == policy
    assert int(answer.headers["retry-after"]) == document["retry_after_s"] >= 1
    assert f'"{policy}";r=0;t=' in answer.headers["ratelimit"]
    return document


async def exhaust(member: Caller, path: str = "/v1/me") -> None:
    for _ in range(QUOTA):
        assert (await member.get(path)).status_code == 200


@pytest.mark.parametrize("path", ["/v1/me", "/v1/me/credits"])
async def test_a_member_has_a_quota_which_the_headers_show(api: Calling, path: str) -> None:
    """Also on the ways around the router."""
    member, other = await api.joined(), await api.joined()
    for left in range(QUOTA - 1, -1, -1):
        answer = await member.get(path)
        assert answer.status_code == 200
        assert answer.headers["ratelimit-policy"] == '"member";q=5;w=36000'
        assert re.fullmatch(rf'"member";r={left};t=\d+', answer.headers["ratelimit"])
    limited(await member.get(path), "member")
    assert (await other.get(path)).status_code == 200


async def test_all_ways_share_a_quota(api: Calling) -> None:
    member = await api.joined()
    await exhaust(member)
    limited(await member.post("/v1/fuel/taps"), "member")
    limited(await member.post("/v1/fuel/taps", {}), "member")
    limited(await member.post("/v1/feed/tickets"), "member")
    limited(await member.get("/v1/tasks"), "member")


async def test_a_throttled_request_changes_nothing_and_its_key_stays_free(api: Calling) -> None:
    member = await api.joined()
    before = await api.credits(member)
    await exhaust(member)
    for _ in range(2):
        limited(await member.post("/v1/fuel/taps", idempotency_key="one"), "member")
    assert await api.credits(member) == before
    api.services.limits.member = replace(api.services.limits.member, quota=2 * QUOTA, window_s=72_000)
    answer = await member.post("/v1/fuel/taps", idempotency_key="one")
    assert (answer.status_code, "idempotency-replayed" in answer.headers) == (202, False)
    again = await member.post("/v1/fuel/taps", idempotency_key="one")
    assert (again.status_code, again.headers["idempotency-replayed"]) == (202, "true")
    # What is kept is the answer, not how much was left then.
    assert [each.headers["ratelimit"].split(";")[1] for each in (answer, again)] == ["r=4", "r=3"]


async def test_members_of_one_device_share_its_quota(api: Calling) -> None:
    api.services.limits.device = replace(api.services.limits.device, quota=2, window_s=36_000)
    members = [await api.joined() for _ in range(3)]

    def with_device(member: Caller, device: str) -> Caller:
        token = sign(api.secrets, PROGRAM, member.member_id, timedelta(minutes=10), device=device)
        return Caller(api.client, f"Bearer {token}", member.member_id)

    for member in members[:2]:
        answer = await with_device(member, "phone").get("/v1/me")
        assert answer.status_code == 200
        assert answer.headers["ratelimit-policy"].count('"') == 4
    limited(await with_device(members[2], "phone").get("/v1/me"), "device")
    assert (await with_device(members[2], "other").get("/v1/me")).status_code == 200


async def test_each_event_counts(api: Calling) -> None:
    # A key of its own: Valkey remembers for hours what this one has used.
    key = await create_key(api.services.db, name="events", scopes=["shop"], programs=None)
    shop, member = Caller(api.client, f"Bearer {key}"), await api.joined()
    api.services.limits.key = replace(api.services.limits.key, quota=10, window_s=36_000)
    answer = await shop.post("/v1/shop/events", [api.event("app.signed_in", member) for _ in range(9)])
    assert answer.status_code == 200, answer.text
    assert '"key";r=1;' in answer.headers["ratelimit"]
    refused = await shop.post("/v1/shop/events", [api.event("app.signed_in", member) for _ in range(2)])
    assert problem(refused, 429, "rate_limited")["policy"] == "key"


async def test_a_network_without_good_credentials_has_a_quota(api: Calling) -> None:
    """Whoever has good ones may come from there all the same."""
    member = await api.joined()
    stranger = Caller(api.client, "Bearer nonsense")
    from_there = {"x_forwarded_for": "9.9.9.9"}
    for path in ("/v1/me", "/v1/tasks", "/v1/me/credits", "/v1/admin/programs"):
        problem(await stranger.get(path, **from_there), 401, "unauthorized")
    assert (await api.nobody.get("/v1/schemas/program.json", **from_there)).status_code == 200
    limited(await stranger.get("/v1/me", **from_there), "network")
    limited(await api.nobody.get("/v1/schemas/program.json", **from_there), "network")
    problem(await stranger.get("/v1/me", x_forwarded_for="9.9.8.9"), 401, "unauthorized")
    assert (await member.get("/v1/me", **from_there)).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nope", 404),
        ("GET", "/v1//me", 404),
        ("OPTIONS", "/v1/nope", 404),
        ("DELETE", "/v1/me/credits", 405),
        ("GET", "/v1/me/credits?limit=zz", 400),
    ],
)
async def test_requests_refused_before_their_credentials_count_for_the_network(
    api: Calling, method: str, path: str, status: int
) -> None:
    member = await api.joined()
    # A network of this case alone: Valkey remembers for hours what it has used.
    headers = {"x-forwarded-for": f"8.8.{crc32(method.encode()) % 256}.{crc32(path.encode()) % 256}"}

    async def ask(authorization: str) -> httpx.Response:
        return await api.client.request(method, path, headers=headers | {"authorization": authorization})

    for left in range(QUOTA - 1, -1, -1):
        answer = await ask("Bearer nobody")
        assert answer.status_code == status
        assert re.fullmatch(rf'"network";r={left};t=\d+', answer.headers["ratelimit"])
    for authorization in ("Bearer nobody", member._headers["authorization"]):
        limited(await ask(authorization), "network")
    assert (await member.get("/v1/me")).status_code == 200


async def test_refused_requests_to_the_sandbox_are_not_charged(api: Calling) -> None:
    for _ in range(QUOTA + 1):
        answer = await api.nobody.post("/v1/sandbox/members", {"country": 1}, x_forwarded_for="8.9.9.9")
        assert problem(answer, 400, "invalid_request")
        assert "ratelimit" not in answer.headers


async def test_private_networks_have_no_quota(api: Calling) -> None:
    """There may be proxies that nobody has named, with all clients behind them."""
    stranger = Caller(api.client, "Bearer nonsense")
    for _ in range(2 * QUOTA):
        problem(await stranger.get("/v1/me"), 401, "unauthorized")


async def test_signing_in_has_a_quota(api: Calling) -> None:
    from_there = {"x_forwarded_for": "8.8.8.8"}
    browser = Browser(api.client)
    form = (await browser.open("/console/sign-in")).form("/console/sign-in")
    guess = form.fields | {"email": ["nobody@shop.example"], "password": ["guess"]}
    pages = [await browser.post("/console/sign-in", guess, **from_there) for _ in range(QUOTA + 1)]
    assert [page.status for page in pages] == [422] * QUOTA + [429]
    assert int(pages[-1].answer.headers["retry-after"]) >= 1
    assert "too many attempts" in pages[-1].text
    assert (await browser.post("/console/sign-in", guess, x_forwarded_for="8.8.4.4")).status == 422
