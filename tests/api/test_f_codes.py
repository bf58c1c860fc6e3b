"""Passing F-codes on and waiting for rewards, over HTTP: answers and refusals."""

from collections.abc import AsyncIterator

import pytest

from engage.flows.programs.publish import publish
from engage.settings import Settings
from tests.api.calling import Caller, Calling, calling, fields, problem
from tests.support.checkout import DOCUMENT, SPENDING, member_with_points
from tests.support.clock import NOON, StoppedClock

REDEMPTIONS = "/v1/redemptions"


@pytest.fixture(scope="module")
async def api(installed: Settings) -> AsyncIterator[Calling]:
    async with calling(installed, StoppedClock(NOON)) as opened:
        await publish(
            opened.services.db, DOCUMENT, source="test", operator="test", clock=opened.services.clock
        )
        await opened.services.programs.refresh(opened.services.db)
        yield opened


async def member(api: Calling, member_id: str) -> Caller:
    await member_with_points(api.services, 300, member_id)
    return api.member_of(SPENDING, member_id)


async def code_of(caller: Caller, reward_id: str = "phone_first") -> str:
    redemption = (await caller.post(REDEMPTIONS, {"reward_id": reward_id})).json()
    return str((redemption.get("f_code") or redemption["coupon"])["code"])


async def test_an_f_code_is_passed_on_once(api: Calling) -> None:
    giver, receiver = await member(api, "giver"), await member(api, "receiver")
    code = await code_of(giver)
    path, body = f"/v1/me/f-codes/{code.lower()}/pass", {"to_member_id": "receiver"}
    passed = await giver.post(path, body, idempotency_key="k-1")
    assert (passed.status_code, passed.json()["passed"]) == (200, "on")
    assert (await giver.post(path, body, idempotency_key="k-1")).json() == passed.json()
    problem(await giver.post(path, body), 409, "already_passed")
    problem(await receiver.post(path, {"to_member_id": "giver"}), 409, "already_passed")
    (received,) = (await receiver.get("/v1/me/coupons")).json()["items"]
    assert (received["code"], received["state"], received["passed"]) == (code, "issued", "received")
    problem(await (await member(api, "third")).post(path, body), 404, "unknown_coupon")


async def test_what_cannot_be_passed_on_is_refused(api: Calling) -> None:
    caller = await member(api, "caller")
    used, void, coupon = await code_of(caller), await code_of(caller), await code_of(caller, "one_euro")
    body = {"to_member_id": "receiver"}
    redeeming = {"program": SPENDING, "code": used, "product_id": "phone", "order_id": "o-1"}
    assert (await api.shop.post("/v1/shop/f-codes/use", redeeming)).status_code == 200
    problem(await caller.post(f"/v1/me/f-codes/{used}/pass", body), 409, "used")
    voiding = {"program": SPENDING, "code": void}
    assert (await api.operator.post("/v1/admin/coupons/void", voiding)).status_code == 200
    problem(await caller.post(f"/v1/me/f-codes/{void}/pass", body), 409, "coupon_closed")
    problem(await caller.post(f"/v1/me/f-codes/{coupon}/pass", body), 404, "unknown_coupon")
    for other in ("caller", "nobody"):
        refused = await caller.post(f"/v1/me/f-codes/{used}/pass", {"to_member_id": other})
        assert problem(refused, 404, "unknown_recipient")["to_member_id"] == other
    invalid = problem(await caller.post(f"/v1/me/f-codes/{used}/pass", {}), 400, "invalid_request")
    assert fields(invalid) == ["to_member_id"]


async def test_waiting_twice_is_waiting_at_one_position(api: Calling) -> None:
    seller, first, second = [await member(api, f"w-{n}") for n in range(3)]
    for _ in range(3):
        await code_of(seller, "scarce")
    problem(await first.post(REDEMPTIONS, {"reward_id": "scarce"}), 409, "sold_out")
    for caller, position in ((first, 1), (second, 2), (first, 1)):
        answer = await caller.post("/v1/rewards/scarce/waiting")
        assert (answer.status_code, answer.json()) == (202, {"position": position, "turn_until": None})
    (shown,) = [
        reward for reward in (await second.get("/v1/rewards")).json()["items"] if reward["id"] == "scarce"
    ]
    assert shown["waiting"]["position"] == 2
    problem(await first.post("/v1/rewards/nothing/waiting"), 404, "unknown_reward")
    problem(await api.member_of(SPENDING, "nobody").post("/v1/rewards/scarce/waiting"), 401, "unauthorized")
