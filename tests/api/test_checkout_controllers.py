"""Checkout and rewards, over HTTP."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from engage.flows.programs.publish import publish
from engage.settings import Settings
from tests.api.calling import Caller, Calling, calling, fields, problem
from tests.api.process import api_process
from tests.support.checkout import DOCUMENT, HOLD_FOR, SPENDING, member_with_points
from tests.support.clock import NOON, StoppedClock

QUOTES = "/v1/shop/checkout/quotes"
HOLDS = "/v1/shop/checkout/holds"
AT_ONCE = 20


@pytest.fixture(scope="module")
async def api(installed: Settings) -> AsyncIterator[Calling]:
    """An API with the presets and a program with a checkout."""
    async with calling(installed, StoppedClock(NOON)) as opened:
        await publish(
            opened.services.db, DOCUMENT, source="spending", operator="test", clock=opened.services.clock
        )
        await opened.services.programs.refresh(opened.services.db)
        yield opened


async def spender(api: Calling, points: int = 300) -> Caller:
    """Register a member with points."""
    member_id = await member_with_points(api.services, points, f"s-{uuid4().hex[:12]}")
    return api.member_of(SPENDING, member_id)


def order(member: Caller, order_id: str | None = None, **changes: Any) -> dict[str, Any]:
    """Make an order of 100 EUR by default. Without an id it is for a quote."""
    named = {} if order_id is None else {"order_id": f"{member.member_id}-{order_id}"}
    return {
        "member_id": member.member_id,
        "lines": [{"line_id": "1", "product_id": "band", "quantity": 1, "paid": 100_00}],
        "shipping": 499,
        "payment": {"method": "card"},
        "currency": "EUR",
        **named,
        **changes,
    }


async def balance(member: Caller) -> dict[str, int]:
    answer = await member.get("/v1/me")
    found: dict[str, int] = answer.json()["balance"]
    return found


async def place_hold(api: Calling, body: dict[str, Any]) -> dict[str, Any]:
    answer = await api.shop.post(HOLDS, body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def end(api: Calling, hold: dict[str, Any], outcome: str, **headers: str) -> httpx.Response:
    return await api.shop.post(f"{HOLDS}/{hold['hold_id']}/{outcome}", **headers)


async def test_an_order_is_quoted_held_for_and_paid(api: Calling) -> None:
    member = await spender(api)
    quoted = (await api.shop.post(QUOTES, order(member))).json()
    assert quoted == {
        "max_points": 300,
        "discount_max": {"amount": 300, "currency": "EUR"},
        "coupons": [],
        "reasons": [],
    }
    hold = await place_hold(api, order(member, "1", spend_max=True))
    assert hold["points"] == 300
    assert hold["discount"] == {"amount": 300, "currency": "EUR"}
    assert hold["expires_at"] == (NOON + HOLD_FOR).isoformat().replace("+00:00", "Z")
    assert (await balance(member))["held"] == 300
    captured = await end(api, hold, "capture")
    assert (captured.status_code, captured.json()["state"]) == (200, "captured")
    assert (await end(api, hold, "capture")).json() == captured.json()
    refused = problem(await end(api, hold, "release"), 409, "hold_closed")
    assert refused["state"] == "captured"
    shown = await balance(member)
    assert (shown["active"], shown["held"]) == (0, 0)
    entries = (await member.get("/v1/me/entries")).json()["items"]
    about = ("kind", "points", "order_id", "hold_id", "credit_id", "coupon_id", "withdrawal_id")
    assert tuple(entries[0][name] for name in about) == (
        *("hold", -300, f"{member.member_id}-1", hold["hold_id"]),
        *(None, None, None),
    )


async def test_a_hold_is_refused_with_its_reason(api: Calling) -> None:
    member = await spender(api, 100)
    refusals: list[tuple[dict[str, Any], int, str]] = [
        ({"points": 101}, 409, "insufficient_points"),
        ({"points": 5, "payment": {"method": "credit"}}, 422, "not_payable_with_points"),
        ({"spend_max": True, "currency": "GBP"}, 422, "not_payable_with_points"),
        ({"coupon_codes": ["ABCDE"]}, 404, "unknown_coupon"),
        ({"points": 5, "member_id": "nobody"}, 404, "unknown_member"),
        ({"points": 5, "program": "no-points"}, 404, "unknown_program"),
        ({}, 400, "invalid_request"),
        ({"spend_max": True, "points": 5}, 400, "invalid_request"),
    ]
    for changes, status, code in refusals:
        problem(await api.shop.post(HOLDS, order(member, "1", **changes)), status, code)
    low = problem(
        await api.shop.post(HOLDS, order(member, "1", points=1, payment={"method": "credit"})),
        422,
        "not_payable_with_points",
    )
    assert (low["max_points"], low["reasons"]) == (0, ["payment_method"])
    assert "not with this way of paying" in low["detail"]
    await place_hold(api, order(member, "1", points=95))
    few = problem(await api.shop.post(HOLDS, order(member, "2", points=5)), 409, "below_minimum")
    assert (few["active"], few["minimum"]) == (5, 10)
    problem(await api.shop.post(HOLDS, order(member, "1", points=94)), 409, "order_has_hold")


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"points": -1}, "points"),
        ({"points": "max"}, "points"),
        ({"spend_max": 1}, "spend_max"),
        ({"points": 1.5}, "points"),
        ({"lines": []}, "lines"),
        ({"lines": [{"line_id": "1", "product_id": "a", "paid": 1}] * 2}, "$"),
        ({"shipping": -1}, "shipping"),
        ({"currency": "euro"}, "currency"),
        ({"channel": "phone"}, "channel"),
        ({"order_id": ""}, "order_id"),
        ({"member_id": "a b"}, "member_id"),
        ({"coupon_codes": ["x"] * 11}, "coupon_codes"),
        ({"discount": 5}, "discount"),
    ],
)
async def test_an_invalid_hold_is_refused_with_the_field(
    api: Calling, changed: dict[str, Any], where: str
) -> None:
    body = order(api.member_of(SPENDING, "m-1"), "1", points=5) | changed
    assert fields(problem(await api.shop.post(HOLDS, body), 400, "invalid_request")) == [where]


async def test_an_unknown_hold_is_not_found(api: Calling) -> None:
    for outcome in ("capture", "release"):
        problem(await end(api, {"hold_id": uuid4()}, outcome), 404, "unknown_hold")
        problem(await end(api, {"hold_id": "first"}, outcome), 404, "not_found")


async def test_only_the_shop_holds_and_captures(api: Calling) -> None:
    member = await spender(api, 100)
    hold = await place_hold(api, order(member, "1", points=50))
    for caller, status, code in (
        (member, 401, "unauthorized"),
        (api.nobody, 401, "unauthorized"),
        (api.operator, 403, "forbidden"),
    ):
        for path in (QUOTES, HOLDS, f"{HOLDS}/{hold['hold_id']}/capture"):
            problem(await caller.post(path, order(member, "1", points=50)), status, code)
    for path in ("/v1/redemptions",):
        problem(await api.shop.post(path, {"reward_id": "one_euro"}), 401, "unauthorized")


async def test_a_hold_under_an_idempotency_key_is_made_once(api: Calling) -> None:
    member = await spender(api)
    key = f"key-{uuid4()}"
    first = await api.shop.post(HOLDS, order(member, "1", points=100), idempotency_key=key)
    hold = first.json()
    await end(api, hold, "release")
    again = await api.shop.post(HOLDS, order(member, "1", points=100), idempotency_key=key)
    assert (again.json(), again.headers["idempotency-replayed"]) == (hold, "true")
    assert (await balance(member))["held"] == 0


async def test_a_redeemed_coupon_is_offered_at_checkout(api: Calling) -> None:
    member = await spender(api)
    listed = (await member.get("/v1/rewards")).json()
    assert listed["next_cursor"] is None
    one_euro, scarce = listed["items"][:2]
    assert (one_euro["id"], one_euro["kind"], one_euro["points"]) == ("one_euro", "coupon", 100)
    assert (one_euro["value"], one_euro["valid_for"]) == ({"amount": 100, "currency": "EUR"}, "P10D")
    assert (one_euro["stock"], scarce["stock"]) == (None, 3)
    answer = await member.post("/v1/redemptions", {"reward_id": "one_euro"})
    assert answer.status_code == 201, answer.text
    redeemed = answer.json()
    code = redeemed["coupon"]["code"]
    assert (redeemed["points"], redeemed["coupon"]["state"]) == (100, "issued")
    (offered,) = (await api.shop.post(QUOTES, order(member))).json()["coupons"]
    assert (offered["code"], offered["applies"], offered["discount"]["amount"]) == (code, True, 100)
    hold = await place_hold(api, order(member, "1", points=50, coupon_codes=[code]))
    assert (hold["discount"]["amount"], hold["coupons"][0]["code"]) == (150, code)
    taken = await api.shop.post(HOLDS, order(member, "2", coupon_codes=[code]))
    refused = problem(taken, 422, "coupon_not_applicable")
    assert (refused["coupon_code"], refused["reasons"]) == (code, ["applied"])
    await end(api, hold, "capture")
    (coupon,) = (await member.get("/v1/me/coupons")).json()["items"]
    assert (coupon["code"], coupon["state"]) == (code, "used")
    assert (await member.get("/v1/me/coupons?state=issued")).json() == {"items": [], "next_cursor": None}


async def test_an_f_code_can_be_passed_on_and_is_redeemed_once(api: Calling) -> None:
    member = await spender(api)
    redeemed = (await member.post("/v1/redemptions", {"reward_id": "phone_first"})).json()
    assert "coupon" not in redeemed
    entry = (await member.get("/v1/me/entries")).json()["items"][0]
    assert (entry["kind"], entry["coupon_id"]) == ("redemption", redeemed["f_code"]["id"])
    assert (entry["hold_id"], entry["order_id"]) == (redeemed["redemption_id"], None)
    assert redeemed["f_code"]["product_id"] == "phone"
    use = {"program": SPENDING, "code": redeemed["f_code"]["code"], "product_id": "phone", "order_id": "1"}
    used = await api.shop.post("/v1/shop/f-codes/use", use)
    assert (used.status_code, used.json()["state"]) == (200, "used")
    other = await api.shop.post("/v1/shop/f-codes/use", use | {"order_id": "2"})
    assert problem(other, 409, "coupon_closed")["state"] == "used"
    unknown = await api.shop.post("/v1/shop/f-codes/use", use | {"code": "nothing"})
    problem(unknown, 404, "unknown_coupon")


async def test_an_operator_voids_a_code(api: Calling) -> None:
    member = await spender(api)
    f_code = (await member.post("/v1/redemptions", {"reward_id": "phone_first"})).json()["f_code"]["code"]
    path, sent = "/v1/admin/coupons/void", {"program": SPENDING, "code": f_code.lower()}
    problem(await api.shop.post(path, sent), 403, "forbidden")
    for _ in range(2):
        void = await api.operator.post(path, sent)
        assert (void.status_code, void.json()["state"]) == (200, "void"), void.text
    use = {"program": SPENDING, "code": f_code, "product_id": "phone", "order_id": "1"}
    assert problem(await api.shop.post("/v1/shop/f-codes/use", use), 409, "coupon_closed")["state"] == "void"
    problem(await api.operator.post(path, sent | {"code": "nothing"}), 404, "unknown_coupon")


async def test_a_redemption_is_refused_with_its_reason(api: Calling) -> None:
    member = await spender(api, 100)
    for reward_id, status, code in (
        ("nothing", 404, "unknown_reward"),
        ("gone", 404, "unknown_reward"),
        ("No-such-reward", 404, "unknown_reward"),
        ("", 400, "invalid_request"),
        ("a\x00", 400, "invalid_request"),
    ):
        problem(await member.post("/v1/redemptions", {"reward_id": reward_id}), status, code)
    for reward_id, code in (("monthly", "limit_reached"), ("ever", "reward_limit_reached")):
        assert (await member.post("/v1/redemptions", {"reward_id": reward_id})).status_code == 201
        refused = await member.post("/v1/redemptions", {"reward_id": reward_id})
        problem(refused, 409, code)
        assert "retry-after" not in refused.headers
    problem(await member.post("/v1/redemptions", {"reward_id": "one_euro"}), 409, "insufficient_points")
    stranger = api.member_of(SPENDING, "nobody")
    problem(await stranger.post("/v1/redemptions", {"reward_id": "ever"}), 401, "unauthorized")
    problem(await stranger.get("/v1/rewards"), 401, "unauthorized")
    problem(await stranger.get("/v1/me/coupons"), 401, "unauthorized")


async def test_coupons_are_listed_in_pages(api: Calling) -> None:
    member = await spender(api, 500)
    codes = [
        (await member.post("/v1/redemptions", {"reward_id": "one_euro"})).json()["coupon"]["code"]
        for _ in range(5)
    ]
    page = (await member.get("/v1/me/coupons?limit=2")).json()
    found = page["items"]
    while page["next_cursor"]:
        page = (await member.get(f"/v1/me/coupons?limit=2&cursor={page['next_cursor']}")).json()
        found += page["items"]
    assert [coupon["code"] for coupon in found] == codes[::-1]


async def test_one_balance_is_spent_once_from_many_connections(installed: Settings, tmp_path: Path) -> None:
    """Twenty connections to a separate process."""
    async with (
        calling(installed) as here,
        api_process(installed, tmp_path) as process,
        httpx.AsyncClient(
            base_url=process.url,
            limits=httpx.Limits(max_connections=AT_ONCE),
            headers={"authorization": f"Bearer {here.secrets.shop_key}"},
        ) as client,
    ):
        await publish(
            here.services.db, DOCUMENT, source="spending", operator="test", clock=here.services.clock
        )
        await here.services.programs.refresh(here.services.db)
        member = await spender(here)
        bodies = [order(member, str(n), points=300) for n in range(AT_ONCE)]
        answers = await asyncio.gather(*(client.post(HOLDS, json=body) for body in bodies))
        assert Counter(answer.status_code for answer in answers) == {201: 1, 409: AT_ONCE - 1}
        assert {a.json()["code"] for a in answers if a.status_code == 409} == {"insufficient_points"}
        (won,) = [answer.json() for answer in answers if answer.status_code == 201]
        paths = [f"{HOLDS}/{won['hold_id']}/{('capture', 'release')[n % 2]}" for n in range(AT_ONCE)]
        ends = await asyncio.gather(*(client.post(path) for path in paths))
        assert Counter(answer.status_code for answer in ends) == {200: AT_ONCE // 2, 409: AT_ONCE // 2}
        assert len({answer.json()["state"] for answer in ends}) == 1, "one way"
