"""Withdrawals, over HTTP, for members and operators."""

import re
from collections.abc import AsyncIterator
from importlib import resources
from itertools import count
from typing import Any
from uuid import uuid4

import httpx
import pytest
from structlog.testing import capture_logs

from engage.flows.programs.publish import publish
from engage.flows.scheduled.settle import settle_due
from engage.flows.withdrawals.pay_out import pay_out_due
from engage.settings import Settings
from tests.api.calling import Caller, Calling, calling, fields, problem
from tests.support.clock import FIVE_MINUTES, NOON, StoppedClock, advance
from tests.support.withdrawals import OPEN, PHONE, PROGRAM, document

PATH, ADMIN = "/v1/withdrawals", "/v1/admin/withdrawals"
ASKED = {"points": 60, "method": "mobile_money"}

_numbers = count(1)


@pytest.fixture(scope="module")
async def market(installed: Settings) -> AsyncIterator[Calling]:
    """An API with the presets and a program with open withdrawals. The sandbox's provider pays."""
    async with calling(installed, StoppedClock(NOON)) as opened:
        await publish(
            opened.services.db, document(OPEN), source="market", operator="test", clock=opened.services.clock
        )
        await opened.services.programs.refresh(opened.services.db)
        yield opened


async def joined(market: Calling, program: str = PROGRAM, **other: str) -> Caller:
    """A member with 100 points."""
    own = {"phone": f"+22670{next(_numbers):06}"}
    known = await market.joined(program=program, country="BF", **(own | other))
    member = market.member_of(program, known.member_id)
    await settle_due(market.services, now=advance(market.services, FIVE_MINUTES))
    return member


async def withdraw(member: Caller, body: object, *, key: str = "") -> httpx.Response:
    """Ask for a withdrawal under a key, by default a new one."""
    return await member.post(PATH, body, idempotency_key=key or str(uuid4()))


async def answered(member: Caller, id_: str) -> dict[str, Any]:
    answer = await member.get(f"{PATH}/{id_}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_member_withdraws_and_reads_the_state(market: Calling) -> None:
    member = await joined(market, phone=PHONE)
    answer = await withdraw(member, ASKED)
    assert answer.status_code == 202, answer.text
    assert answer.json() == {
        "id": answer.json()["id"],
        "state": "requested",
        "method": "mobile_money",
        "points": 60,
        "amount": {"amount": 6_000, "currency": "XOF"},
        "phone": PHONE,
        "requested_at": answer.json()["requested_at"],
        "closed_at": None,
        "failure": None,
    }
    balance = (await member.get("/v1/me")).json()["balance"]
    assert (balance["active"], balance["held"]) == (40, 60)
    entry = (await member.get("/v1/me/entries")).json()["items"][0]
    assert (entry["kind"], entry["withdrawal_id"]) == ("hold", answer.json()["id"])
    assert (entry["order_id"], entry["coupon_id"]) == (None, None)
    for expected in ("submitted", "settled"):
        await pay_out_due(market.services, now=advance(market.services, FIVE_MINUTES))
        assert (await answered(member, answer.json()["id"]))["state"] == expected
    balance = (await member.get("/v1/me")).json()["balance"]
    assert (balance["active"], balance["held"]) == (40, 0)


async def test_a_repeated_request_holds_points_once(market: Calling) -> None:
    member = await joined(market)
    first = await withdraw(member, ASKED, key="w-1")
    again = await withdraw(member, ASKED, key="w-1")
    assert again.content == first.content
    assert (await member.get("/v1/me")).json()["balance"]["held"] == 60


async def test_a_withdrawal_needs_an_idempotency_key(market: Calling) -> None:
    member = await joined(market)
    problem(await member.post(PATH, ASKED), 400, "idempotency_key_required")
    assert (await member.get("/v1/me")).json()["balance"]["held"] == 0
    problem(await market.nobody.post(PATH, ASKED), 401, "unauthorized")


async def test_a_withdrawal_is_shown_to_its_member_alone(market: Calling) -> None:
    member, other = await joined(market), await joined(market)
    id_ = (await withdraw(member, ASKED)).json()["id"]
    problem(await other.get(f"{PATH}/{id_}"), 404, "not_found")
    problem(await member.get(f"{PATH}/019c0000-0000-7000-8000-000000000000"), 404, "not_found")
    problem(await market.nobody.get(f"{PATH}/{id_}"), 401, "unauthorized")
    stranger = market.member_of(PROGRAM, "nobody")
    problem(await withdraw(stranger, ASKED), 401, "unauthorized")
    problem(await stranger.get(f"{PATH}/{id_}"), 401, "unauthorized")


async def test_an_announced_withdrawal_is_not_open_yet(market: Calling) -> None:
    member = await joined(market, "bf-mi-points")
    with capture_logs() as lines:
        refused = problem(await withdraw(member, ASKED), 403, "not_open_yet")
    assert "opens_at" in refused
    (line,) = (line for line in lines if line.get("code") == "not_open_yet")
    assert line["event"] == "a request was refused", "the credentials were right"
    member = await market.joined()
    problem(await withdraw(member, ASKED), 404, "not_offered")


async def test_a_version_opens_announced_withdrawals(market: Calling) -> None:
    member = await joined(market, "bf-mi-points")
    problem(await withdraw(member, ASKED), 403, "not_open_yet")
    announced = resources.files("engage.programs").joinpath("bf-mi-points", "2024.toml").read_text("utf-8")
    assert announced.count("open = false") == 1
    opened = announced.replace("open = false", "open = true").replace('version = "2024"', 'version = "open"')
    today = f"in_force_from = {NOON:%Y-%m-%d}"
    opened = re.sub(r"^in_force_from = .*$", today, opened, flags=re.MULTILINE)
    opened = opened.partition("[[examples]]")[0]  # They play in the days of the first version.
    await publish(
        market.services.db,
        opened,
        source="open",
        operator="test",
        clock=market.services.clock,
        past_allowed=True,
    )
    await market.services.programs.refresh(market.services.db)
    refused = problem(await withdraw(member, ASKED), 409, "below_minimum")
    assert (refused["minimum"], refused["active"]) == (50, 0)


async def test_an_impossible_withdrawal_is_refused(market: Calling) -> None:
    member = await joined(market)
    refused = problem(await withdraw(member, ASKED | {"points": 101}), 409, "insufficient_points")
    assert refused["active"] == 100
    problem(await withdraw(member, ASKED | {"phone": "+33612345678"}), 422, "phone_unusable")
    for wrong in ("123456", "call me"):
        problem(await withdraw(member, ASKED | {"phone": wrong}), 422, "invalid_phone")
    problem(await withdraw(member, ASKED | {"phone": "76 54 32 10"}), 409, "number_too_new")
    limited = await withdraw(member, ASKED | {"points": 81})
    assert problem(limited, 409, "daily_points_reached")["remaining"] == 80
    assert "retry-after" not in limited.headers
    await withdraw(member, ASKED)
    refused = problem(await withdraw(member, ASKED | {"points": 1}), 409, "below_minimum")
    assert (refused["minimum"], refused["active"]) == (50, 40)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"points": 0}, "points"),
        ({"points": 1.5}, "points"),
        ({"method": "cheque"}, "method"),
        ({"phone": "70\n"}, "phone"),
        ({"to": "me"}, "to"),
    ],
)
async def test_an_unreadable_parameter_is_refused_with_its_name(
    market: Calling, change: dict[str, object], field: str
) -> None:
    member = await market.joined()
    assert fields(problem(await withdraw(member, ASKED | change), 400, "invalid_request")) == [field]


async def test_a_counter_pays_cash_once(market: Calling) -> None:
    member = await joined(market)
    id_ = (await withdraw(member, ASKED | {"method": "cash"})).json()["id"]
    shown = (await market.operator.get(f"{ADMIN}/{id_}")).json()
    assert (shown["member_id"], shown["withdrawal"]["amount"]["amount"]) == (member.member_id, 6_000)
    for _ in range(2):
        answer = await market.operator.post(f"{ADMIN}/{id_}/settle")
        assert (answer.status_code, answer.json()["withdrawal"]["state"]) == (200, "settled")
    refused = problem(await market.operator.post(f"{ADMIN}/{id_}/fail"), 409, "withdrawal_closed")
    assert refused["state"] == "settled"
    assert (await answered(member, id_))["state"] == "settled"


async def test_cash_that_is_not_collected_gives_the_points_back(market: Calling) -> None:
    member = await joined(market)
    id_ = (await withdraw(member, ASKED | {"method": "cash"})).json()["id"]
    assert (await market.operator.post(f"{ADMIN}/{id_}/fail")).status_code == 200
    assert (await answered(member, id_))["failure"] == "not_paid_out"
    balance = (await member.get("/v1/me")).json()["balance"]
    assert (balance["active"], balance["held"]) == (100, 0)


async def test_only_operators_settle_and_not_while_a_provider_pays(market: Calling) -> None:
    member = await joined(market)
    id_ = (await withdraw(member, ASKED)).json()["id"]
    refused = problem(await market.operator.post(f"{ADMIN}/{id_}/settle"), 409, "withdrawal_under_way")
    assert refused["state"] == "requested"
    for way in ("settle", "fail"):
        problem(await market.shop.post(f"{ADMIN}/{id_}/{way}"), 403, "forbidden")
        problem(await member.post(f"{ADMIN}/{id_}/{way}"), 401, "unauthorized")
        problem(await market.operator.post(f"{ADMIN}/{member.member_id}/{way}"), 404, "not_found")
        unknown = "019c0000-0000-7000-8000-000000000000"
        problem(await market.operator.post(f"{ADMIN}/{unknown}/{way}"), 404, "not_found")
        problem(await market.operator.post(f"{ADMIN}/{id_}/{way}", {"paid": True}), 400, "invalid_request")
    problem(await market.shop.get(f"{ADMIN}/{id_}"), 403, "forbidden")
