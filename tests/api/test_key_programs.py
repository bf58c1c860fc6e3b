"""A key opens the calls about its programs, and no other."""

import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from engage.api.contract.openapi import document
from engage.api.controllers import controllers
from engage.api.http.api_keys import ApiKeyCache
from engage.flows.operations.keys import create_key
from engage.flows.programs.publish import publish
from engage.settings import Settings
from tests.api.calling import PROGRAM, Caller, Calling, calling, problem
from tests.support import checkout, protection, referrals
from tests.support.clock import NOON, StoppedClock
from tests.support.database import rows
from tests.support.withdrawals import OPEN
from tests.support.withdrawals import PROGRAM as MARKET
from tests.support.withdrawals import document as market_document

OTHER = "by-mi-bonus"
REASON = {"reason": "one person"}
INVITING = referrals.BASE + referrals.TERMS
LINES: dict[str, Any] = {
    "lines": [{"line_id": "1", "product_id": "p", "paid": 5000}],
    "payment": {"method": "card"},
    "currency": "EUR",
}


@pytest.fixture(scope="module")
async def api(installed: Settings) -> AsyncIterator[Calling]:
    async with calling(installed, StoppedClock(NOON)) as opened:
        for text in (market_document(OPEN), checkout.DOCUMENT, INVITING, protection.document()):
            await publish(
                opened.services.db, text, source="test", operator="test", clock=opened.services.clock
            )
        await opened.services.programs.refresh(opened.services.db)
        yield opened


CAMPAIGN = {
    "id": "spring",
    "program": PROGRAM,
    "title": {"en": "Spring"},
    "from": "2026-11-21T12:00:00",
    "until": "2026-12-01T12:00:00",
}
ACTIVITY = {"program": PROGRAM, "facts": {"country": "ES"}, "activity": {"activity": "fuel_tap"}}
STEPS = {
    "program": PROGRAM,
    "country": "ES",
    "steps": [{"at": "2026-12-01T00:00:00", "do": {"activity": "fuel_tap"}}],
}
TRIED = {"document": CAMPAIGN, "from": "2026-11-01T00:00:00", "until": "2026-11-20T00:00:00"}


async def caller(api: Calling, scope: Any, *programs: str) -> Caller:
    key = await create_key(api.services.db, name="bound", scopes=[scope], programs=programs)
    api.api.keys = ApiKeyCache(api.services.db)  # It knows a new key within a second.
    return Caller(api.client, f"Bearer {key}")


async def a_hold(api: Calling) -> UUID:
    await checkout.member_with_points(api.services, 300, "holder")
    return (
        await checkout.place_hold(api.services, checkout.hold_request(member_id="holder", points=100))
    ).hold_id


async def a_withdrawal(api: Calling) -> str:
    member = await api.joined(program=MARKET, country="BF")
    body = {"points": 60, "method": "cash"}
    withdrawer = api.member_of(MARKET, member.member_id)
    await api.operator.post(
        f"/v1/admin/members/{member.member_id}/adjustments?program={MARKET}",
        {"points": 100, "reason": "r", "reference": "k"},
    )
    asked = await withdrawer.post("/v1/withdrawals", body, idempotency_key="bound")
    return str(asked.json()["id"])


async def a_referral(api: Calling) -> UUID:
    await referrals.invite(api.services)
    return (await referrals.referral(api.services)).id


async def a_suspicion(api: Calling) -> UUID:
    await protection.join(api.services, protection.ring(4))
    for member in protection.ring(4):
        await protection.perform(api.services, member)
    ((suspicion_id,),) = await rows(api.services.db, "SELECT id FROM suspicions")
    assert isinstance(suspicion_id, UUID)
    return suspicion_id


async def a_backtest(api: Calling) -> str:
    started = await api.operator.post("/v1/admin/campaigns/backtests", TRIED)
    return str(started.json()["backtest_id"])


async def test_every_call_about_another_program_is_refused(api: Calling) -> None:
    """Each operation of the shop and of operators is in this table, or the test fails. Those of definitions
    are tested for each kind.
    """
    member = (await api.joined()).member_id
    hold_id, withdrawal_id, referral_id = await a_hold(api), await a_withdrawal(api), await a_referral(api)
    backtest_id, suspicion_id = await a_backtest(api), await a_suspicion(api)
    event = {
        "id": "e",
        "type": "app.signed_in",
        "time": "2026-11-21T11:00:00Z",
        "program": PROGRAM,
        "data": {},
    }
    merge = {"into": "x", "reason": "r"}
    order = {"member_id": member, "program": PROGRAM, **LINES}
    named = f"?program={PROGRAM}"
    members, versions = "/v1/admin/members", f"/v1/admin/programs/{PROGRAM}/versions"
    campaigns = "/v1/admin/campaigns"
    calls: dict[str, tuple[str, str, Any]] = {
        "registerMember": (
            "POST",
            "/v1/shop/members",
            {"member_id": "x", "program": PROGRAM, "country": "ES"},
        ),
        "updateMember": ("PATCH", f"/v1/shop/members/{member}", {"program": PROGRAM, "phone": None}),
        "mergeCards": ("POST", f"/v1/shop/members/{member}/merge", {"program": PROGRAM, **merge}),
        "sendEvents": ("POST", "/v1/shop/events", [event | {"member_id": member}]),
        "quoteCheckout": ("POST", "/v1/shop/checkout/quotes", order),
        "holdPoints": ("POST", "/v1/shop/checkout/holds", order | {"order_id": "o-1", "points": 1}),
        "captureHold": ("POST", f"/v1/shop/checkout/holds/{hold_id}/capture", {}),
        "releaseHold": ("POST", f"/v1/shop/checkout/holds/{hold_id}/release", {}),
        "redeemFCode": (
            "POST",
            "/v1/shop/f-codes/use",
            {"program": PROGRAM, "code": "7QK2M-0X4TZ-9BVHC-3RNWJ", "product_id": "p", "order_id": "o"},
        ),
        "voidCoupon": (
            "POST",
            "/v1/admin/coupons/void",
            {"program": PROGRAM, "code": "7QK2M-0X4TZ-9BVHC-3RNWJ"},
        ),
        "getMemberProfile": ("GET", f"{members}/{member}{named}", None),
        "adjustPoints": (
            "POST",
            f"{members}/{member}/adjustments{named}",
            {"points": 1, "reason": "r", "reference": "x"},
        ),
        "mergeMembers": ("POST", f"{members}/{member}/merge{named}", merge),
        "eraseMember": ("DELETE", f"{members}/{member}{named}", None),
        "getMemberBalance": ("GET", f"{members}/{member}/balance{named}", None),
        "getMemberTiers": ("GET", f"{members}/{member}/tiers{named}", None),
        "getMemberBenefits": ("GET", f"/v1/shop/members/{member}/benefits{named}", None),
        "listReferrals": ("GET", f"/v1/admin/referrals{named}", None),
        "getMemberReferral": ("GET", f"/v1/admin/referrals/{referral_id}", None),
        "approveReferral": ("POST", f"/v1/admin/referrals/{referral_id}/approve", {}),
        "rejectReferral": ("POST", f"/v1/admin/referrals/{referral_id}/reject", {}),
        "listSuspicions": ("GET", f"/v1/admin/suspicions{named}", None),
        "getSuspicion": ("GET", f"/v1/admin/suspicions/{suspicion_id}", None),
        "releaseSuspicion": ("POST", f"/v1/admin/suspicions/{suspicion_id}/release", REASON),
        "rejectSuspicion": ("POST", f"/v1/admin/suspicions/{suspicion_id}/reject", REASON),
        "undoSuspicionDecision": ("POST", f"/v1/admin/suspicions/{suspicion_id}/undo", REASON),
        "listDrawEntries": ("GET", f"/v1/admin/draws/rewardmi/entries{named}", None),
        "listAuditLog": ("GET", f"/v1/admin/audit-log{named}", None),
        "getLiabilityReport": ("GET", f"/v1/admin/reports/liability{named}", None),
        "getSegment": ("GET", f"/v1/admin/segments/s{named}", None),
        "updateSegment": ("PUT", f"/v1/admin/segments/s{named}", None),
        "listSegments": ("GET", f"/v1/admin/segments{named}", None),
        "listProgramVersions": ("GET", versions, None),
        "getProgramVersion": ("GET", f"{versions}/2022", None),
        "publishProgramVersion": ("POST", versions, {"document": "id = 1"}),
        "createCampaign": ("POST", campaigns, CAMPAIGN),
        "getCampaignReport": ("GET", f"{campaigns}/spring/report{named}", None),
        "listCampaigns": ("GET", f"{campaigns}{named}", None),
        "getCampaign": ("GET", f"{campaigns}/spring{named}", None),
        "updateCampaign": ("PUT", f"{campaigns}/spring", CAMPAIGN),
        "duplicateCampaign": ("POST", f"{campaigns}/spring/duplicate{named}", {"new_id": "summer"}),
        "submitCampaign": ("POST", f"{campaigns}/spring/submit{named}", {}),
        "approveCampaign": ("POST", f"{campaigns}/spring/approve{named}", {}),
        "rejectCampaign": ("POST", f"{campaigns}/spring/reject{named}", {"reason": "r"}),
        "pauseCampaign": ("POST", f"{campaigns}/spring/pause{named}", {}),
        "resumeCampaign": ("POST", f"{campaigns}/spring/resume{named}", {}),
        "endCampaign": ("POST", f"{campaigns}/spring/end{named}", {}),
        "tryActivity": ("POST", f"{campaigns}/dry-run", ACTIVITY),
        "simulateCampaigns": ("POST", f"{campaigns}/simulate", STEPS),
        "startBacktest": ("POST", f"{campaigns}/backtests", TRIED),
        "listBacktests": ("GET", f"{campaigns}/backtests{named}", None),
        "getBacktest": ("GET", f"{campaigns}/backtests/{backtest_id}", None),
        "grantBacktest": ("POST", f"{campaigns}/backtests/{backtest_id}/grant", {}),
        "cancelBacktest": ("DELETE", f"{campaigns}/backtests/{backtest_id}", None),
        "getMemberWithdrawal": ("GET", f"/v1/admin/withdrawals/{withdrawal_id}", None),
        "settleWithdrawal": ("POST", f"/v1/admin/withdrawals/{withdrawal_id}/settle", {}),
        "failWithdrawal": ("POST", f"/v1/admin/withdrawals/{withdrawal_id}/fail", {}),
    }
    lists = {"listPrograms"}  # What the key opens is listed.
    assert set(calls) | lists == {
        operation["operationId"]
        for path, methods in document(controllers(sandbox=True))["paths"].items()
        if path.startswith(("/v1/shop/", "/v1/admin/"))
        for operation in methods.values()
        if not re.search("Definitions?$", operation["operationId"])
    }
    keys = {"shop": await caller(api, "shop", OTHER), "admin": await caller(api, "admin", OTHER)}
    for name, (method, path, body) in calls.items():
        key = keys[path.split("/")[2]]
        answer = await key.request(method, path, body)
        program = {"captureHold": checkout.SPENDING, "releaseHold": checkout.SPENDING}.get(name, PROGRAM)
        program = MARKET if "withdrawals" in path else program
        program = referrals.PROGRAM if str(referral_id) in path else program
        program = protection.PROGRAM if str(suspicion_id) in path else program
        assert problem(answer, 403, "other_program")["program"] == program, name
    assert (await api.operator.get(f"{members}/{member}{named}")).json()["state"] == "active"
    listed = (await keys["admin"].get("/v1/admin/programs")).json()["items"]
    assert [program["id"] for program in listed] == [OTHER]


async def test_a_bound_key_sees_and_does_what_is_of_its_programs(api: Calling) -> None:
    shop, operator = await caller(api, "shop", PROGRAM, OTHER), await caller(api, "admin", PROGRAM, OTHER)
    joining = {"member_id": "same", "program": PROGRAM, "country": "ES", "person_ref": "same"}
    assert (await shop.post("/v1/shop/members", joining)).status_code == 201
    # The same id is known in a program that the key does not open.
    await api.joined(member_id="same", program=MARKET, country="BF")
    path = "/v1/admin/members/same"
    assert (await operator.get(path)).json()["program"] == PROGRAM
    assert (await operator.get(f"{path}/balance")).json()["program"] == PROGRAM
    problem(await api.operator.get(path), 400, "invalid_request")
    report = (await operator.get("/v1/admin/reports/liability")).json()["items"]
    assert {item["program"] for item in report} <= {PROGRAM, OTHER}
    every = (await api.operator.get("/v1/admin/reports/liability")).json()["items"]
    assert MARKET in {item["program"] for item in every}
    only_market = await caller(api, "admin", MARKET)
    await api.joined(member_id="elsewhere")
    problem(await only_market.get("/v1/admin/members/elsewhere"), 404, "unknown_member")
    problem(await only_market.get("/v1/admin/members/elsewhere/balance"), 404, "unknown_member")


async def test_events_of_other_programs_do_not_affect_the_others(api: Calling) -> None:
    shop = await caller(api, "shop", PROGRAM)
    member = await api.joined()
    foreign = api.event("app.signed_in", member) | {"program": OTHER}
    answer = await shop.post("/v1/shop/events", [foreign, api.event("app.signed_in", member)])
    assert answer.status_code == 200
    assert answer.json()["accepted"] == 1
    assert [(event["id"], event["code"]) for event in answer.json()["refused"]] == [
        (foreign["id"], "other_program")
    ]


async def test_an_order_without_a_program_is_one_of_the_keys_programs(api: Calling) -> None:
    await checkout.member_with_points(api.services, 300, "spender")
    order = {"member_id": "spender", **LINES}
    for programs, status in [([checkout.SPENDING, OTHER], 200), ([OTHER], 404)]:
        shop = await caller(api, "shop", *programs)
        assert (await shop.post("/v1/shop/checkout/quotes", order)).status_code == status
