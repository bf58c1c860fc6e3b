"""Events of orders, over HTTP, and their effect on the member's points."""

from typing import Any

from engage.flows.programs.publish import publish
from engage.flows.scheduled.settle import settle_due
from tests.api.calling import Caller, Calling
from tests.support.orders import DOCUMENT, PROGRAM

EVENTS = "/v1/shop/events"
_number = iter(range(10_000))


def event(type_: str, member_id: str, at: str, **data: Any) -> dict[str, Any]:
    return {
        "id": f"event-{next(_number)}",
        "type": type_,
        "time": at,
        "program": PROGRAM,
        "member_id": member_id,
        "data": data,
    }


def order(order_id: str, **changed: Any) -> dict[str, Any]:
    lines = [{"line_id": "1", "product_id": "band", "quantity": 2, "paid": 2099}]
    fields = {
        "channel": "app",
        "payment": {"method": "card"},
        "lines": lines,
        "shipping": 0,
        "currency": "EUR",
    }
    return {"order_id": order_id} | fields | changed


async def joined(api: Calling, member_id: str) -> Caller:
    """Publish a program with orders and register a member of it."""
    services = api.services
    await publish(services.db, DOCUMENT, source="corner-shop", operator="test", clock=services.clock)
    await services.programs.refresh(services.db)
    await api.joined(program=PROGRAM, member_id=member_id)
    return api.member_of(PROGRAM, member_id)


async def send(api: Calling, *events: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await api.shop.post(EVENTS, list(events))
    assert answer.status_code == 200, answer.text
    refused: list[dict[str, Any]] = answer.json()["refused"]
    return refused


async def test_an_order_is_followed_from_its_payment_to_its_return(api: Calling) -> None:
    member = await joined(api, "buyer-1")
    at = api.services.clock.now().isoformat()

    async def seen() -> list[tuple[Any, ...]]:
        found = (await member.get("/v1/me/credits")).json()["items"]
        return [(c["rule"], c["points"], c["taken_back"], c["state"]) for c in found]

    assert await send(api, event("order.paid", "buyer-1", at, **order("o-1"))) == []
    assert await seen() == [("purchase", 20, 0, "pending")]
    piece = {"line_id": "1", "quantity": 1}
    back = event("order.returned", "buyer-1", at, order_id="o-1", return_id="r-1", lines=[piece])
    assert await send(api, back) == []
    assert await seen() == [("purchase", 10, 10, "pending")]
    assert await send(api, event("order.delivered", "buyer-1", at, order_id="o-1")) == []
    await settle_due(api.services, now=api.services.clock.now())
    assert await seen() == [("purchase", 10, 10, "active")]
    assert await send(api, event("order.returned", "buyer-1", at, order_id="o-1", return_id="r-2")) == []
    assert await seen() == [("purchase", 10, 20, "reversed")]
    credit = (await member.get("/v1/me/credits")).json()["items"][0]
    assert credit["source_key"] == "order:o-1:purchase"
    assert credit["why"]["activity"]["order_id"] == "o-1"
    text = credit["why"]["trace"][0]["text"]
    assert text == "purchase: €20.99 for 1 line earn 20 points: 1 for each €1.00."
    entries = (await member.get("/v1/me/entries")).json()["items"]
    assert [(entry["kind"], entry["points"]) for entry in entries] == [("clawback", -10), ("earning", 10)]
    assert [(entry["credit_id"], entry["order_id"]) for entry in entries] == [(credit["id"], "o-1")] * 2


async def test_an_invalid_order_is_refused_with_the_field(api: Calling) -> None:
    await joined(api, "buyer-2")
    at = api.services.clock.now().isoformat()
    line = {"line_id": "1", "product_id": "band", "paid": 5}
    wrong = [
        order("o-2", lines=[]),
        order("o-2", lines=[line, line]),
        order("o-2", lines=[line | {"paid": -1}]),
        order("o-2", hold_id="no-uuid"),
        order("o-2", channel="post"),
        order("o-2", tip=5),
    ]
    refused = await send(api, *(event("order.paid", "buyer-2", at, **data) for data in wrong))
    assert [answer["code"] for answer in refused] == ["invalid_event"] * 6
    fields = [answer["errors"][0]["field"] for answer in refused]
    assert fields == ["data.lines", "data", "data.lines[0].paid", "data.hold_id", "data.channel", "data.tip"]
    assert (
        await send(api, event("order.returned", "buyer-2", at, order_id="o", return_id="r", lines=[])) != []
    )


async def test_a_refused_order_event_has_a_detail_for_people(api: Calling) -> None:
    await joined(api, "buyer-3")
    at = api.services.clock.now().isoformat()
    unknown = "01a20099-d15c-71ea-92f0-71618a34a9e5"
    refused = await send(
        api,
        event("order.paid", "buyer-3", at, **order("o-3", currency="GBP")),
        event("order.paid", "buyer-3", at, **order("o-3", hold_id=unknown)),
        event("order.paid", "buyer-3", at, **order("o-3")),
        event("order.paid", "buyer-3", at, **order("o-3", shipping=1)),
        event(
            "order.returned",
            "buyer-3",
            at,
            order_id="o-3",
            return_id="r",
            lines=[{"line_id": "7", "quantity": 1}],
        ),
    )
    assert {answer["code"]: answer["detail"] for answer in refused} == {
        "wrong_currency": "Orders of this member are paid in EUR.",
        "unknown_hold": "There is no hold with this id.",
        "order_conflict": "Order o-3 was reported as paid before, with other details or by another member.",
        "not_bought": "Line 7 of order o-3 has fewer pieces left.",
    }


async def test_a_return_of_null_is_not_a_return_of_everything(api: Calling) -> None:
    await joined(api, "buyer-4")
    at = api.services.clock.now().isoformat()
    assert await send(api, event("order.paid", "buyer-4", at, **order("o-4"))) == []
    unclear = event("order.returned", "buyer-4", at, order_id="o-4", return_id="r", lines=None)
    (refused,) = await send(api, unclear)
    assert (refused["code"], refused["errors"][0]["field"]) == ("invalid_event", "data.lines")
    clear = event("order.returned", "buyer-4", at, order_id="o-4", return_id="r")
    assert await send(api, clear) == []
