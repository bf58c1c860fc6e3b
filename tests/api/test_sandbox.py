"""The sandbox, over HTTP: test members, and a clock that does due work in order."""

import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from engage.api.app import create_app
from engage.settings import Settings
from tests.api.calling import PROGRAM, Caller, Calling, calling, client_of, fields, problem

SANDBOX, MEMBERS, CLOCK = "/v1/sandbox", "/v1/sandbox/members", "/v1/sandbox/clock"


@pytest.fixture(scope="module")
async def sandbox(module_installed: Settings) -> AsyncIterator[Calling]:
    """A sandbox with a running clock, which tests advance by days. Each has its own members."""
    async with calling(module_installed) as opened:
        yield opened


async def made_up(sandbox: Calling, **fields: object) -> Caller:
    answer = await sandbox.nobody.post(MEMBERS, {"program": PROGRAM} | fields)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    return Caller(sandbox.client, f"Bearer {made['token']}", made["member_id"])


async def balance(member: Caller) -> tuple[int, int]:
    found = (await member.get("/v1/me")).json()["balance"]
    return found["active"], found["pending"]


async def test_the_sandbox_answers_with_its_clock_and_keys(sandbox: Calling) -> None:
    info = (await sandbox.nobody.get(SANDBOX)).json()
    assert info["feed_url"] == sandbox.services.settings.feed_url
    assert (await Caller(sandbox.client, f"Bearer {info['shop_key']}").post("/v1/shop/events", [])).is_success
    assert info["admin_key"] == sandbox.secrets.admin_key
    now = datetime.fromisoformat(info["now"])
    assert abs(now - sandbox.services.clock.now()) < timedelta(seconds=10)


@pytest.mark.parametrize(
    "host",
    [
        "shop.example",
        "localhost.example",
        "127.0.0.1.example",
        "127.0.0.1@x",
        "[::2]",
        "10.0.0.1",
        "example:127",
    ],
)
async def test_a_name_that_is_not_of_this_machine_gets_no_keys(sandbox: Calling, host: str) -> None:
    """A page of the internet can have its name resolve to 127.0.0.1, and sends that name."""
    problem(await sandbox.nobody.get(SANDBOX, host=host), 421, "wrong_host")
    problem(await sandbox.nobody.post(MEMBERS, {"program": PROGRAM}, host=host), 421, "wrong_host")


@pytest.mark.parametrize("others", [["shop.example"], ["localhost"], [""]])
async def test_two_names_are_none(sandbox: Calling, others: list[str]) -> None:
    """A proxy may look at one of them and this guard at the other."""
    hosts = [("host", host) for host in ("localhost", *others)]
    problem(await sandbox.client.get(SANDBOX, headers=hosts), 421, "wrong_host")


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8080", "shop.localhost", "127.1.2.3:1", "[::1]:8080"]
)
async def test_all_names_of_this_machine_are_good(sandbox: Calling, host: str) -> None:
    assert (await sandbox.nobody.get(SANDBOX, host=host)).status_code == 200


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
async def test_a_form_of_another_page_cannot_advance_the_clock(sandbox: Calling, kind: str) -> None:
    body = b'{"advance": "P1D"}'
    problem(await sandbox.nobody.post(CLOCK, body, content_type=kind), 415, "unsupported_media_type")
    problem(await sandbox.nobody.post(CLOCK, body), 415, "unsupported_media_type")
    json = "application/JSON; charset=utf-8"
    assert (await sandbox.nobody.post(CLOCK, body, content_type=json)).status_code == 200


async def test_a_sandbox_member_is_an_eligible_adult_with_a_token_for_a_day(sandbox: Calling) -> None:
    member = await made_up(sandbox)
    home = (await member.get("/v1/me")).json()
    assert (home["member"]["program"], home["member"]["country"]) == (PROGRAM, "ES")
    assert home["balance"]["pending"] == 50
    assert (await member.post("/v1/fuel/taps")).status_code == 202


async def test_any_member_gets_a_token(sandbox: Calling) -> None:
    tokens = "/v1/sandbox/tokens"
    registered = await sandbox.joined(member_id="auth0|7")
    for member_id in ("auth0|7", (await made_up(sandbox)).member_id):
        answer = await sandbox.nobody.post(tokens, {"program": PROGRAM, "member_id": member_id})
        assert answer.status_code == 201, answer.text
        member = Caller(sandbox.client, f"Bearer {answer.json()['token']}", registered.member_id)
        assert (await member.get("/v1/me")).json()["member"]["member_id"] == member_id
    nobody = {"program": PROGRAM, "member_id": "nobody"}
    problem(await sandbox.nobody.post(tokens, nobody), 404, "unknown_member")
    problem(await sandbox.nobody.post(tokens, nobody | {"program": "no-such"}), 404, "unknown_program")
    problem(await sandbox.nobody.post(tokens, {"program": PROGRAM}), 400, "invalid_request")


async def test_a_token_of_the_sandbox_names_a_device(sandbox: Calling) -> None:
    named = {"device": "phone-1", "device_attested": True}
    made = (await sandbox.nobody.post(MEMBERS, {"program": PROGRAM} | named)).json()
    again = {"program": PROGRAM, "member_id": made["member_id"], "device": "phone-1"}
    known = (await sandbox.nobody.post("/v1/sandbox/tokens", again)).json()
    one, other = (sandbox.api.verifier.verify(each["token"]) for each in (made, known))
    assert one.device == other.device != b""
    assert (one.attested, other.attested) == (True, False)
    wrong = again | {"device": "x" * 129}
    problem(await sandbox.nobody.post("/v1/sandbox/tokens", wrong), 400, "invalid_request")


async def test_a_sandbox_member_has_the_requested_fields(sandbox: Calling) -> None:
    member = await made_up(sandbox, member_id="bea", country="GB", card_numbers=["6000001"])
    assert member.member_id == "bea"
    home = (await member.get("/v1/me")).json()
    assert (home["member"]["zone"], home["member"]["currency"]) == ("Europe/London", "GBP")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "invalid_request"),
        ({"program": PROGRAM, "age": 17}, 400, "invalid_request"),
        ({"program": "xx-points"}, 404, "unknown_program"),
        ({"program": PROGRAM, "birth_date": "2020-01-01"}, 422, "not_eligible"),
        ({"program": PROGRAM, "country": "US"}, 422, "not_eligible"),
    ],
)
async def test_an_impossible_sandbox_member_is_refused_as_a_registration_is(
    sandbox: Calling, body: object, status: int, code: str
) -> None:
    problem(await sandbox.nobody.post(MEMBERS, body), status, code)


async def test_a_token_is_valid_for_a_day_of_the_machines_time(own_installed: Settings) -> None:
    async with calling(own_installed) as sandbox:
        await _outlives_400_days_of_the_sandbox(sandbox)


async def _outlives_400_days_of_the_sandbox(sandbox: Calling) -> None:
    member = await made_up(sandbox)
    assert (await sandbox.nobody.post(CLOCK, {"advance": "P400D"})).status_code == 200
    assert (await member.get("/v1/me")).status_code == 200
    later = await made_up(sandbox)
    token = (later._headers["authorization"]).removeprefix("Bearer ")
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    wall = sandbox.services.clock.wall().timestamp()
    assert claims["exp"] - claims["iat"] == 86_400
    assert abs(claims["iat"] - wall) < 10


async def test_points_are_active_after_the_clock_has_passed_their_time(sandbox: Calling) -> None:
    member = await made_up(sandbox)
    await member.post("/v1/fuel/taps")
    assert await balance(member) == (0, 52)
    before = sandbox.services.clock.now()
    moved = await sandbox.nobody.post(CLOCK, {"advance": "PT5M"})
    now = datetime.fromisoformat(moved.json()["now"])
    assert timedelta(minutes=5) <= now - before < timedelta(minutes=5, seconds=30)
    assert await balance(member) == (52, 0)
    active = (await member.get("/v1/me/credits")).json()["items"]
    assert all(credit["active_at"] == credit["due_at"] for credit in active), "at the very instant"


async def test_the_next_day_has_a_tap(sandbox: Calling) -> None:
    member = await made_up(sandbox)
    await member.post("/v1/fuel/taps")
    problem(await member.post("/v1/fuel/taps"), 409, "already_tapped")
    await sandbox.nobody.post(CLOCK, {"advance": "P1D"})
    assert (await member.post("/v1/fuel/taps")).json()["streak"]["days"] == 2


async def test_the_clock_advances_to_a_time_and_never_back(sandbox: Calling) -> None:
    to = (sandbox.services.clock.now() + timedelta(days=40)).replace(microsecond=0)
    moved = await sandbox.nobody.post(CLOCK, {"to": to.isoformat()})
    assert abs(datetime.fromisoformat(moved.json()["now"]) - to) < timedelta(seconds=10)
    back = (to - timedelta(days=1)).astimezone(UTC).isoformat()
    refused = problem(await sandbox.nobody.post(CLOCK, {"to": back}), 409, "clock_backwards")
    assert datetime.fromisoformat(refused["now"]) >= to
    problem(await sandbox.nobody.post(CLOCK, {"advance": "-PT1S"}), 409, "clock_backwards")


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, "$"),
        ({"advance": "PT5M", "to": "2027-01-01T00:00:00Z"}, "$"),
        ({"advance": "5 minutes"}, "advance"),
        ({"advance": 300.5}, "advance"),
        ({"advance": "PT5M", "by": 1}, "by"),
        ({"advance": "P100000D"}, "advance"),
        ({"to": "2027-01-01T00:00:00"}, "to"),
        ({"to": "tomorrow"}, "to"),
        ({"to": "9999-12-31T23:59:59-14:00"}, "to"),
        (b"PT5M", "$"),
    ],
)
async def test_an_invalid_advance_is_refused_and_the_clock_stays(
    sandbox: Calling, body: object, where: str
) -> None:
    before = sandbox.services.clock.offset
    json = {"content_type": "application/json"}
    refused = problem(await sandbox.nobody.post(CLOCK, body, **json), 400, "invalid_request")
    assert fields(refused) == [where]
    assert sandbox.services.clock.offset == before


async def test_a_restarted_api_goes_on_at_the_time_of_the_sandbox(own_installed: Settings) -> None:
    async with calling(own_installed) as before:
        await before.nobody.post(CLOCK, {"advance": "P30D"})
        offset = before.services.clock.offset
    async with calling(own_installed) as after:
        assert after.services.clock.offset == offset


async def test_outside_a_sandbox_its_operations_are_not_found(settings: Settings) -> None:
    app = create_app(msgspec.structs.replace(settings, sandbox=None))
    async with app.lifespan(), client_of(app, sandbox=False) as client:
        for method, path in (("GET", SANDBOX), ("POST", MEMBERS), ("POST", CLOCK), ("GET", "/")):
            problem(await client.request(method, path), 404, "not_found")
        assert SANDBOX not in (await client.get("/openapi.json")).json()["paths"]
