"""The contract that clients may rely on from the first release: paths, main fields, codes and statuses.

More may be added; whatever is listed here stays.
"""

from typing import Any

import pytest

from engage.api.contract.openapi import PROBLEM_JSON, document
from engage.api.controllers import controllers
from engage.domain.refusals import Code
from engage.feed import asyncapi

CONTRACT = document(controllers(sandbox=True))

# Method, path, status; fields of the body; fields of the answer, those of list items after "items.".
OPERATIONS: list[tuple[str, str, int, str, str]] = [
    ("get", "/v1/sandbox", 200, "", "now feed_url shop_key admin_key"),
    ("post", "/v1/sandbox/members", 201, "program country phone person_ref birth_date", "member_id token"),
    ("post", "/v1/sandbox/tokens", 201, "program member_id", "token"),
    ("post", "/v1/sandbox/clock", 200, "advance to", "now"),
    ("get", "/v1/me", 200, "", "member balance expiring streak limits tier campaigns"),
    (
        *("get", "/v1/me/credits", 200, ""),
        "items next_cursor items.id items.rule items.points items.state items.due_at items.active_at "
        "items.expires_at items.source_key items.why",
    ),
    ("get", "/v1/me/credits/{credit_id}", 200, "", "id rule points state why"),
    (
        *("get", "/v1/me/entries", 200, ""),
        "items next_cursor items.kind items.points items.balance_after items.at items.credit_id "
        "items.order_id items.hold_id items.coupon_id items.withdrawal_id",
    ),
    (*("get", "/v1/program", 200, "", "id version title rules worth expiry checkout withdrawal "),),
    ("post", "/v1/fuel/taps", 202, "", "credits streak"),
    ("post", "/v1/shares", 202, "kind product_id network share_id", "credits limit"),
    ("post", "/v1/reviews", 202, "product_id review_id", "credits"),
    ("post", "/v1/visits", 202, "page", "credits"),
    (
        *("get", "/v1/tasks", 200, ""),
        "items.rule items.title items.points items.activity items.state items.remaining items.resets_at "
        "items.why_not",
    ),
    (
        *("get", "/v1/me/challenges", 200, ""),
        "items.id items.title items.progress items.goal items.steps items.state items.ends_at",
    ),
    ("get", "/v1/rewards", 200, "", "items.id items.kind items.title items.points items.value items.stock"),
    ("post", "/v1/redemptions", 201, "reward_id", "redemption_id points coupon f_code"),
    ("get", "/v1/me/coupons", 200, "", "items next_cursor items.code items.state items.expires_at"),
    ("post", "/v1/withdrawals", 202, "points method phone", "id state"),
    ("get", "/v1/withdrawals/{withdrawal_id}", 200, "", "id state"),
    ("post", "/v1/feed/tickets", 201, "", "url ticket expires_at"),
    (
        *("post", "/v1/shop/members", 201),
        "member_id program country birth_date kind person_ref phone card_numbers referral_code",
        "member_id program",
    ),
    ("post", "/v1/shop/events", 200, "", "accepted repeated refused"),
    (
        *("post", "/v1/shop/checkout/quotes", 200, "member_id lines shipping payment currency"),
        "max_points discount_max coupons reasons",
    ),
    (
        *("post", "/v1/shop/checkout/holds", 201),
        "member_id lines shipping payment currency order_id points spend_max coupon_codes",
        "hold_id points discount expires_at",
    ),
    ("post", "/v1/shop/checkout/holds/{hold_id}/capture", 200, "", "hold_id state"),
    ("post", "/v1/shop/checkout/holds/{hold_id}/release", 200, "", "hold_id state"),
    ("get", "/v1/admin/programs", 200, "", "items next_cursor"),
    ("get", "/v1/admin/programs/{program_id}/versions", 200, "", "items next_cursor"),
    ("post", "/v1/admin/programs/{program_id}/versions", 201, "document", "version"),
    ("get", "/v1/admin/members/{member_id}", 200, "", "member_id balance"),
    ("post", "/v1/admin/members/{member_id}/adjustments", 201, "points reason reference", "entry balance"),
    ("delete", "/v1/admin/members/{member_id}", 200, "", "member_id"),
    ("get", "/health/live", 200, "", "status"),
    ("get", "/health/ready", 200, "", "status"),
]

# Path of a POST, status, code, and the facts that clients read.
REFUSALS = [
    ("/v1/fuel/taps", 409, "already_tapped", "next_tap_at"),
    ("/v1/fuel/taps", 404, "not_offered", ""),
    ("/v1/shares", 409, "limit_reached", "resets_at"),
    ("/v1/shares", 404, "not_offered", ""),
    ("/v1/reviews", 409, "already_rewarded", ""),
    ("/v1/visits", 409, "limit_reached", "resets_at"),
    ("/v1/visits", 404, "not_offered", ""),
    ("/v1/redemptions", 409, "insufficient_points", ""),
    ("/v1/redemptions", 409, "sold_out", ""),
    ("/v1/redemptions", 404, "unknown_reward", ""),
    ("/v1/withdrawals", 400, "idempotency_key_required", ""),
    ("/v1/withdrawals", 403, "not_open_yet", "opens_at"),
    ("/v1/withdrawals", 409, "insufficient_points", ""),
    ("/v1/withdrawals", 409, "below_minimum", ""),
    ("/v1/withdrawals", 409, "number_too_new", ""),
    ("/v1/withdrawals", 422, "invalid_phone", ""),
    ("/v1/shop/members", 409, "member_exists", ""),
    ("/v1/shop/members", 409, "person_has_account", ""),
    ("/v1/shop/members", 409, "card_taken", ""),
    ("/v1/shop/members", 422, "not_eligible", "reasons"),
    ("/v1/shop/members", 422, "invalid_phone", ""),
    ("/v1/shop/members", 400, "invalid_request", "errors"),
    ("/v1/shop/checkout/holds", 409, "insufficient_points", ""),
    ("/v1/shop/checkout/holds", 409, "below_minimum", ""),
    ("/v1/shop/checkout/holds", 422, "not_payable_with_points", ""),
    ("/v1/shop/checkout/holds/{hold_id}/capture", 409, "hold_closed", ""),
    ("/v1/shop/checkout/holds/{hold_id}/release", 409, "hold_closed", ""),
    ("/v1/admin/programs/{program_id}/versions", 409, "in_the_past", ""),
    ("/v1/sandbox/clock", 409, "clock_backwards", ""),
]


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = CONTRACT["components"]["schemas"][name] if name else schema
    return found


def fields(schema: dict[str, Any]) -> set[str]:
    properties = resolved(schema).get("properties", {})
    items = properties.get("items", {}).get("items")
    return {*properties, *(f"items.{name}" for name in (fields_of_item(items) if items else ()))}


def fields_of_item(schema: dict[str, Any]) -> set[str]:
    options = resolved(schema).get("oneOf") or resolved(schema).get("anyOf") or [schema]
    return {name for option in options for name in resolved(option).get("properties", {})}


@pytest.mark.parametrize(("method", "path", "status", "sent", "shown"), OPERATIONS)
def test_a_promised_operation_has_its_fields(
    method: str, path: str, status: int, sent: str, shown: str
) -> None:
    operation = CONTRACT["paths"][path][method]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    assert set(sent.split()) <= fields(body.get("schema", {}))
    answer = operation["responses"][str(status)]["content"]["application/json"]["schema"]
    assert set(shown.split()) <= fields(answer)


@pytest.mark.parametrize(("path", "status", "code", "facts"), REFUSALS)
def test_a_promised_refusal_has_its_status_and_facts(path: str, status: int, code: str, facts: str) -> None:
    answer = CONTRACT["paths"][path]["post"]["responses"][str(status)]
    assert code in answer["content"][PROBLEM_JSON]["examples"]
    known = Code.named(code)
    assert known is not None
    assert known.status == status
    assert set(facts.split()) <= known.facts.keys()


def test_posts_of_members_and_the_shop_accept_an_idempotency_key() -> None:
    for path, methods in CONTRACT["paths"].items():
        operation = methods.get("post")
        if operation is None or not {"member", "shop"} & {n for s in operation["security"] for n in s}:
            continue
        headers = {item["name"]: item for item in operation["parameters"] if item["in"] == "header"}
        assert "Idempotency-Key" in headers, path
        assert headers["Idempotency-Key"].get("required", False) == (path == "/v1/withdrawals"), path


def test_events_are_sent_as_a_list() -> None:
    body = CONTRACT["paths"]["/v1/shop/events"]["post"]["requestBody"]["content"]["application/json"]
    assert (body["schema"]["type"], body["schema"]["maxItems"]) == ("array", 1_000)


def test_the_feed_closes_with_the_promised_codes_and_sends_the_promised_messages() -> None:
    feed = asyncapi.document()
    assert {3000, 1012, 1013} <= set(feed["channels"]["feed"]["x-close-codes"])
    schemas = feed["components"]["schemas"]
    assert {"type", "seq", "balance"} <= set(schemas["Snapshot"]["properties"])
    assert {"type", "seq", "balance", "cause"} <= set(schemas["BalanceChange"]["properties"])
    assert set(schemas["FeedBalance"]["properties"]) == {"active", "pending", "held", "debt"}
    assert {"ticket"} <= set(schemas["Auth"]["properties"])
    assert {"seq"} <= set(schemas["Resume"]["properties"])
