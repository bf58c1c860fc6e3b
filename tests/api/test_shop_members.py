"""The shop updates members and merges their accounts, over HTTP."""

from typing import Any

import pytest

from tests.api.calling import PROGRAM, Calling, fields, problem

MEMBERS, EVENTS = "/v1/shop/members", "/v1/shop/events"


async def test_a_phone_number_and_cards_can_be_added_later(api: Calling) -> None:
    member = await api.joined(phone="+34 600 00 00 01")
    path = f"{MEMBERS}/{member.member_id}"
    changed = {"program": PROGRAM, "phone": "600 00 00 02", "card_numbers": ["shop-card 0001"]}
    answer = await api.shop.patch(path, changed)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "member_id": member.member_id,
        "program": PROGRAM,
        "phone": "+34600000002",
        "card_numbers": ["SHOPCARD0001"],
    }
    assert (await api.shop.patch(path, {"program": PROGRAM})).json() == answer.json()
    event = api.event("app.signed_in", member) | {"member_id": None, "card_number": "Shop Card 0001"}
    assert (await api.shop.post(EVENTS, event)).json()["accepted"] == 1


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"phone": "+34 1"}, 422, "invalid_phone"),
        ({"phone": "call me"}, 422, "invalid_phone"),
        ({"card_numbers": ["#1234"]}, 422, "invalid_card"),
        ({"remove_card_numbers": None}, 400, "invalid_request"),
        ({"card_numbers": ["TAKEN-CARD"]}, 409, "card_taken"),
        ({"program": "xx-points"}, 404, "unknown_member"),
        ({"country": "FR"}, 400, "invalid_request"),
    ],
)
async def test_an_impossible_update_is_refused(
    api: Calling, changed: dict[str, Any], status: int, code: str
) -> None:
    if code == "card_taken":
        await api.joined(card_numbers=["takencard"])
    member = await api.joined()
    answer = await api.shop.patch(f"{MEMBERS}/{member.member_id}", {"program": PROGRAM} | changed)
    problem(answer, status, code)


async def test_a_number_can_be_taken_off_and_has_a_new_owner(api: Calling) -> None:
    member = await api.joined(phone="+34 600 00 00 03", card_numbers=["LOST0001"])
    gone = {"program": PROGRAM, "phone": None, "remove_card_numbers": ["lost\u00a00001"]}
    for _ in range(2):
        answer = await api.shop.patch(f"{MEMBERS}/{member.member_id}", gone)
        assert answer.status_code == 200, answer.text
        assert (answer.json()["phone"], answer.json()["card_numbers"]) == (None, [])
    event = api.event("app.signed_in", member) | {"member_id": None, "card_number": "LOST0001"}
    (refused,) = (await api.shop.post(EVENTS, event)).json()["refused"]
    assert refused["code"] == "unknown_member"
    await api.joined(card_numbers=["LOST-0001"])
    accepted = api.event("app.signed_in", member) | {"member_id": None, "card_number": "Lost.0001"}
    assert (await api.shop.post(EVENTS, accepted)).json()["accepted"] == 1


async def test_two_accounts_of_one_member_are_merged(api: Calling) -> None:
    old = await api.joined(card_numbers=["OLDCARD1"])
    new = await api.joined(card_numbers=["NEWCARD1"])
    await old.post("/v1/fuel/taps")
    path, body = (
        f"{MEMBERS}/{old.member_id}/merge",
        {
            "program": PROGRAM,
            "into": new.member_id,
            "reason": "found the old card again",
        },
    )
    answer = await api.shop.post(path, body)
    assert answer.status_code == 200, answer.text
    merged = answer.json()
    assert (merged["member_id"], merged["merged"]) == (new.member_id, old.member_id)
    assert merged["card_numbers"] == ["NEWCARD1", "OLDCARD1"]
    # Registering pays once in a life; the tap of today is the other one's too.
    assert merged["balance"]["pending"] == 52
    # The app that still has the old token goes on.
    home = (await old.get("/v1/me")).json()
    assert (home["member"]["member_id"], home["balance"]) == (new.member_id, merged["balance"])
    ticket = await old.post("/v1/feed/tickets")
    assert ticket.status_code == 201
    share = await old.post("/v1/shares", {"kind": "link", "product_id": "band"})
    assert share.status_code == 202
    assert len((await new.get("/v1/me/credits")).json()["items"]) == 3
    # The day of the other account is used.
    problem(await new.post("/v1/fuel/taps"), 409, "already_tapped")
    back = {"program": PROGRAM, "into": old.member_id, "reason": "no"}
    refused = problem(await api.shop.post(f"{MEMBERS}/{new.member_id}/merge", back), 409, "member_merged")
    assert refused["into"] == new.member_id


async def test_a_merge_into_an_unknown_member_is_refused(api: Calling) -> None:
    member = await api.joined()
    path = f"{MEMBERS}/{member.member_id}/merge"
    into = {"program": PROGRAM, "into": "nobody", "reason": "r"}
    problem(await api.shop.post(path, into), 404, "unknown_member")
    missing = problem(await api.shop.post(path, {"program": PROGRAM, "into": "m"}), 400, "invalid_request")
    assert fields(missing) == ["reason"]
    problem(await api.operator.post(path, into), 403, "forbidden")
