"""Invitations over HTTP: codes, claims, the operators' queue and every refusal."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from engage.flows.programs.publish import publish
from engage.settings import Settings
from tests.api.calling import Caller, Calling, calling, fields, problem
from tests.support.clock import DAY, NOON, StoppedClock, advance, stopped_clock
from tests.support.referrals import BASE, BY_REGISTRATION, PROGRAM, TERMS, later, order

CLAIMS = "/v1/referrals"
MINE = "/v1/me/referral"
QUEUE = "/v1/admin/referrals"

SECOND_PROGRAM = (BASE + BY_REGISTRATION).replace('id = "corner-shop"', 'id = "other-shop"')


@pytest.fixture(scope="module")
async def opened(installed: Settings) -> AsyncIterator[Calling]:
    async with calling(installed, StoppedClock(NOON)) as opened:
        for document in (BASE + TERMS, SECOND_PROGRAM):
            await publish(
                opened.services.db, document, source="test", operator="test", clock=opened.services.clock
            )
        await opened.services.programs.refresh(opened.services.db)
        yield opened


@pytest.fixture
def api(opened: Calling) -> Calling:
    """The API, at NOON again."""
    stopped_clock(opened.services).at = NOON
    return opened


async def joined(api: Calling, program: str = PROGRAM, **details: Any) -> Caller:
    member = await api.joined(program=program, **details)
    return api.member_of(program, member.member_id)


async def code_of(member: Caller) -> str:
    answer = await member.get(MINE)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["code"])


async def invited(api: Calling, **details: Any) -> tuple[Caller, Caller]:
    """Return an advocate and a friend who has used the advocate's code."""
    advocate, friend = await joined(api), await joined(api, **details)
    answer = await friend.post(CLAIMS, {"code": await code_of(advocate)})
    assert answer.status_code == 202, answer.text
    return advocate, friend


async def queue(api: Calling, friend: Caller, query: str = "") -> list[dict[str, Any]]:
    """Return the referrals of a friend."""
    answer = await api.operator.get(f"{QUEUE}?limit=100{query}")
    assert answer.status_code == 200, answer.text
    return [item for item in answer.json()["items"] if item["friend_id"] == friend.member_id]


async def test_a_member_sees_their_code_and_what_has_come_of_it(api: Calling) -> None:
    advocate, _ = await invited(api)
    mine = (await advocate.get(MINE)).json()
    assert mine == {
        "code": mine["code"],
        "url": f"http://localhost/?ref={mine['code']}",
        "invited": 1,
        "pending": 1,
        "rewarded": 0,
        "flagged": 0,
    }
    elsewhere = await joined(api, "other-shop")
    other = (await elsewhere.get(MINE)).json()
    assert other["url"] == f"https://shop.example/join?by={other['code']}"


async def test_a_claim_is_answered_with_its_state_and_once_for_a_key(api: Calling) -> None:
    advocate, friend = await joined(api), await joined(api)
    body = {"code": (await code_of(advocate)).lower(), "device_id": "d-1"}
    first = await friend.post(CLAIMS, body, idempotency_key="k-1")
    assert (first.status_code, first.json()) == (202, {"state": "pending"})
    again = await friend.post(CLAIMS, body, idempotency_key="k-1")
    assert (again.status_code, again.json(), again.headers["idempotency-replayed"]) == (
        202,
        {"state": "pending"},
        "true",
    )
    problem(await friend.post(CLAIMS, body), 409, "already_referred")


async def test_each_refusal_of_a_claim_has_its_code(api: Calling) -> None:
    advocate, friend = await invited(api, phone="+34612345678")
    code, theirs = await code_of(advocate), await code_of(friend)
    problem(await friend.post(CLAIMS, {"code": "ABCDEFGH"}), 404, "unknown_code")
    problem(await friend.post(CLAIMS, {"code": code}), 409, "already_referred")
    problem(await advocate.post(CLAIMS, {"code": code}), 409, "self_referral")
    problem(await advocate.post(CLAIMS, {"code": theirs}), 409, "circular_referral")
    twin = await joined(api, phone="612345678")
    problem(await twin.post(CLAIMS, {"code": theirs}), 409, "self_referral")
    elsewhere = await joined(api, "other-shop")
    problem(await elsewhere.post(CLAIMS, {"code": code}), 404, "unknown_code")
    for _ in range(2):
        assert (await (await joined(api)).post(CLAIMS, {"code": code})).status_code == 202
    fourth = await joined(api)
    full = problem(await fourth.post(CLAIMS, {"code": code}), 409, "limit_reached")
    assert (full["limit"], full["window"], full["resets_at"]) == (3, "month", "2026-11-30T23:00:00Z")
    advance(api.services, 4 * DAY)
    problem(await fourth.post(CLAIMS, {"code": code}), 409, "too_late")
    nobody = api.member_of(PROGRAM, "nobody")
    problem(await nobody.post(CLAIMS, {"code": code}), 401, "unauthorized")
    problem(await nobody.get(MINE), 401, "unauthorized")


@pytest.mark.parametrize(
    ("body", "field"),
    [({}, "code"), ({"code": ""}, "code"), ({"code": "A" * 65}, "code"), ({"code": "A", "who": 1}, "who")],
)
async def test_a_malformed_claim_names_the_field(api: Calling, body: dict[str, Any], field: str) -> None:
    friend = await joined(api)
    assert fields(problem(await friend.post(CLAIMS, body), 400, "invalid_request")) == [field]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "ABCDEFGH",
            {
                "state": "refused",
                "code": "unknown_code",
                "detail": "Nobody invites friends with this code. Please check it.",
            },
        ),
        (None, {"state": "pending", "code": None, "detail": None}),
    ],
)
async def test_a_code_at_the_registration_is_said_in_the_answer(
    api: Calling, code: str | None, said: dict[str, Any]
) -> None:
    advocate = await joined(api)
    joining = {
        "member_id": f"friend with {code}".replace(" ", "-"),
        "program": PROGRAM,
        "country": "ES",
        "referral_code": code or await code_of(advocate),
    }
    first = await api.shop.post("/v1/shop/members", joining, idempotency_key=f"join-{code}")
    assert (first.status_code, first.json()["referral"]) == (201, said)
    again = await api.shop.post("/v1/shop/members", joining, idempotency_key=f"join-{code}")
    assert again.json() == first.json()


async def test_operators_see_referrals_by_state_page_by_page(api: Calling) -> None:
    advocate, friend = await invited(api)
    await invited(api)
    first = (await api.operator.get(f"{QUEUE}?state=pending&limit=1")).json()
    second = (await api.operator.get(f"{QUEUE}?state=pending&limit=1&cursor={first['next_cursor']}")).json()
    shown = [*first["items"], *second["items"]]
    assert len({item["id"] for item in shown}) == 2
    oldest = shown[1]
    assert (oldest["advocate_id"], oldest["friend_id"]) == (advocate.member_id, friend.member_id)
    assert oldest["due_at"] == "2026-11-28T12:00:00Z"
    assert oldest["friend"]["met_at"] == "2026-11-21T12:00:00Z"
    assert await queue(api, friend, "&state=pending&program=corner-shop") == [oldest]
    assert await queue(api, friend, "&state=flagged") == []
    assert await queue(api, friend, "&program=other-shop") == []
    problem(await api.operator.get(f"{QUEUE}?state=lost"), 400, "invalid_request")
    problem(await api.shop.get(QUEUE), 403, "forbidden")


async def test_an_operator_decides_once(api: Calling) -> None:
    advocate = await joined(api, addresses=["Calle Mayor 1"])
    friend = await joined(api, addresses=["calle mayor, 1"])
    claimed = await friend.post(CLAIMS, {"code": await code_of(advocate)})
    assert claimed.json() == {"state": "flagged"}
    (flagged,) = await queue(api, friend, "&state=flagged")
    assert flagged["flags"] == ["address"]
    path = f"{QUEUE}/{flagged['id']}"
    for _ in range(2):
        approved = await api.operator.post(f"{path}/approve", {"reason": "flatmates"})
        assert (approved.status_code, approved.json()["state"]) == (200, "approved")
    assert approved.json()["reason"] == "flatmates"
    assert approved.json() == (await api.operator.get(path)).json()
    closed = problem(await api.operator.post(f"{path}/reject"), 409, "referral_closed")
    assert closed["state"] == "approved"
    assert [rule for rule, _ in await credit_rules(friend)] == ["referral:friend"]


async def test_an_operator_rejects_without_a_reason(api: Calling) -> None:
    _, friend = await invited(api)
    (pending,) = await queue(api, friend)
    rejected = await api.operator.post(f"{QUEUE}/{pending['id']}/reject")
    assert (rejected.json()["state"], rejected.json()["decided_by"] is None) == ("rejected", False)
    problem(await api.operator.post(f"{QUEUE}/{pending['id']}/approve"), 409, "referral_closed")
    unknown = f"{QUEUE}/019aa3c0-7c1e-7b6a-9d6e-2f1f0f6d3a10"
    problem(await api.operator.get(unknown), 404, "not_found")
    problem(await api.operator.post(f"{unknown}/approve"), 404, "not_found")


async def test_points_of_an_approved_referral_say_why(api: Calling) -> None:
    advocate, friend = await invited(api)
    await order(api.services, member_id=friend.member_id)
    await later(api.services, 7 * DAY)
    assert [rule for rule, _ in await credit_rules(advocate)] == ["referral:advocate"]
    assert (await advocate.get(MINE)).json()["rewarded"] == 1
    (_, text) = (await credit_rules(advocate, accept_language="de"))[0]
    assert "Die erste Bestellung" in text


async def credit_rules(member: Caller, **headers: str) -> list[tuple[str, str]]:
    """Return the rule and the reason in words of each credit for a referral."""
    answer = await member.get("/v1/me/credits", **headers)
    return [
        (item["rule"], item["why"]["text"])
        for item in answer.json()["items"]
        if item["rule"].startswith("referral:")
    ]


async def test_the_app_reads_the_terms_from_the_program(api: Calling) -> None:
    terms = (await (await joined(api)).get("/v1/program")).json()["referral"]
    assert terms == {
        "opens_at": None,
        "advocate": {
            "points": 100,
            "on": "first_order_delivered",
            "min_spend": {"amount": 1000, "currency": "EUR"},
        },
        "friend": {"points": 50, "on": "registration", "min_spend": None},
        "hold": "P7D",
        "account_age_max": "P3D",
        "limit": {"count": 3, "window": "month"},
    }
