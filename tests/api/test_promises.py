"""The contract that clients may rely on from the first release: paths, main fields, codes and statuses.

More may be added; whatever is listed here stays.
"""

from typing import Any

import pytest

from engage.api.contract.openapi import PROBLEM_JSON, document
from engage.api.controllers import controllers
from engage.domain.campaigns.parse import schema as campaign_schema
from engage.domain.program.parse import schema
from engage.domain.refusals import Code
from engage.feed import asyncapi
from tests.support import campaign_promises as campaigns
from tests.support.promises import (
    DEFINITIONS,
    DOCUMENT,
    DOCUMENT_VALUES,
    ENGAGEMENT,
    ENGAGEMENT_REFUSALS,
    PARAMETERS,
    VALUES,
)

CONTRACT = document(controllers(sandbox=True))
PROGRAM = schema()
CAMPAIGN = campaign_schema()

# Method, path, status; fields of the body; fields of the answer, those of list items after "items.".
OPERATIONS: list[tuple[str, str, int, str, str]] = [
    ("get", "/v1/sandbox", 200, "", "now feed_url shop_key admin_key approver_key"),
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

# Method, path, status, code, and the facts that clients read.
REFUSALS = [
    ("post", "/v1/fuel/taps", 409, "already_tapped", "next_tap_at"),
    ("post", "/v1/fuel/taps", 404, "not_offered", ""),
    ("post", "/v1/shares", 409, "limit_reached", "resets_at"),
    ("post", "/v1/shares", 404, "not_offered", ""),
    ("post", "/v1/reviews", 409, "already_rewarded", ""),
    ("post", "/v1/visits", 409, "limit_reached", "resets_at"),
    ("post", "/v1/visits", 404, "not_offered", ""),
    ("post", "/v1/redemptions", 409, "insufficient_points", ""),
    ("post", "/v1/redemptions", 409, "sold_out", ""),
    ("post", "/v1/redemptions", 404, "unknown_reward", ""),
    ("post", "/v1/withdrawals", 400, "idempotency_key_required", ""),
    ("post", "/v1/withdrawals", 403, "not_open_yet", "opens_at"),
    ("post", "/v1/withdrawals", 409, "insufficient_points", ""),
    ("post", "/v1/withdrawals", 409, "below_minimum", ""),
    ("post", "/v1/withdrawals", 409, "number_too_new", ""),
    ("post", "/v1/withdrawals", 422, "invalid_phone", ""),
    ("post", "/v1/shop/members", 409, "member_exists", ""),
    ("post", "/v1/shop/members", 409, "person_has_account", ""),
    ("post", "/v1/shop/members", 409, "card_taken", ""),
    ("post", "/v1/shop/members", 422, "not_eligible", "reasons"),
    ("post", "/v1/shop/members", 422, "invalid_phone", ""),
    ("post", "/v1/shop/members", 400, "invalid_request", "errors"),
    ("post", "/v1/shop/checkout/holds", 409, "insufficient_points", ""),
    ("post", "/v1/shop/checkout/holds", 409, "below_minimum", ""),
    ("post", "/v1/shop/checkout/holds", 422, "not_payable_with_points", ""),
    ("post", "/v1/shop/checkout/holds/{hold_id}/capture", 409, "hold_closed", ""),
    ("post", "/v1/shop/checkout/holds/{hold_id}/release", 409, "hold_closed", ""),
    ("post", "/v1/admin/programs/{program_id}/versions", 409, "in_the_past", ""),
    ("post", "/v1/sandbox/clock", 409, "clock_backwards", ""),
]


Schema = dict[str, Any]


def shapes(schema: Schema, components: Schema) -> list[Schema]:
    """The objects and values that a schema allows; of a list those of its items."""
    options = schema.get("oneOf") or schema.get("anyOf")
    if options:
        return [shape for option in options for shape in shapes(option, components)]
    name = schema.get("$ref", "").rpartition("/")[2]
    if name:
        return shapes(components[name], components)
    return shapes(schema["items"], components) if "items" in schema else [schema]


def found(schema: Schema, path: str, components: Schema) -> list[Schema]:
    """The schemas of a field, whose path has a point for each step inwards."""
    inside = [schema]
    for name in path.split("."):
        all_shapes = [shape for each in inside for shape in shapes(each, components)]
        inside = [shape["properties"][name] for shape in all_shapes if name in shape.get("properties", {})]
    return inside


def lacking(schema: Schema, paths: str, components: Schema | None = None) -> list[str]:
    known = CONTRACT["components"]["schemas"] if components is None else components
    return [path for path in paths.split() if not found(schema, path, known)]


def body_of(method: str, path: str) -> Schema:
    content = CONTRACT["paths"][path][method].get("requestBody", {}).get("content", {})
    schema: Schema = content.get("application/json", {}).get("schema", {})
    return schema


def answer_of(method: str, path: str, status: int) -> Schema:
    content = CONTRACT["paths"][path][method]["responses"][str(status)]["content"]
    schema: Schema = content["application/json"]["schema"]
    return schema


@pytest.mark.parametrize(
    ("method", "path", "status", "sent", "shown"), [*OPERATIONS, *ENGAGEMENT, *campaigns.OPERATIONS]
)
def test_a_promised_operation_has_its_fields(
    method: str, path: str, status: int, sent: str, shown: str
) -> None:
    assert lacking(body_of(method, path), sent) == []
    assert lacking(answer_of(method, path, status), shown) == []


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "facts"), [*REFUSALS, *ENGAGEMENT_REFUSALS, *campaigns.REFUSALS]
)
def test_a_promised_refusal_has_its_status_and_facts(
    method: str, path: str, status: int, code: str, facts: str
) -> None:
    answer = CONTRACT["paths"][path][method]["responses"][str(status)]
    assert code in answer["content"][PROBLEM_JSON]["examples"]
    known = Code.named(code)
    assert known is not None
    assert known.status == status
    assert set(facts.split()) <= known.facts.keys()


@pytest.mark.parametrize(("plural", "fields"), DEFINITIONS)
def test_operators_add_show_and_change_definitions(plural: str, fields: str) -> None:
    path = f"/v1/admin/{plural}"
    one = f"{path}/{{definition_id}}"
    for method, at in (("post", path), ("put", one)):
        assert lacking(body_of(method, at), fields) == []
    assert lacking(answer_of("post", path, 201), "id version") == []
    assert lacking(answer_of("put", one, 200), "id version") == []
    assert lacking(answer_of("get", path, 200), "items.id items.version next_cursor") == []
    assert lacking(answer_of("get", one, 200), "id version") == []
    refusals = [
        ("post", path, 409, "exists", ""),
        ("post", path, 422, "invalid_document", "errors"),
        ("put", one, 422, "invalid_document", "errors"),
        ("put", one, 428, "if_match_required", ""),
        ("put", one, 412, "changed_meanwhile", ""),
        ("put", one, 404, "not_found", ""),
    ]
    for refusal in refusals:
        test_a_promised_refusal_has_its_status_and_facts(*refusal)
    headers = [item["name"] for item in CONTRACT["paths"][one]["put"]["parameters"] if item["in"] == "header"]
    assert "If-Match" in headers
    document_fields = " ".join(f"{plural}.{field}" for field in fields.split())
    assert lacking(PROGRAM, document_fields, PROGRAM["definitions"]) == []


@pytest.mark.parametrize(("field", "values"), DOCUMENT_VALUES)
def test_a_document_can_have_each_promised_value(field: str, values: str) -> None:
    options = [
        shape
        for schema in found(PROGRAM, field, PROGRAM["definitions"])
        for shape in shapes(schema, PROGRAM["definitions"])
    ]
    assert set(values.split()) <= {value for option in options for value in option.get("enum", ())}


def test_a_programs_document_has_its_fields() -> None:
    assert lacking(PROGRAM, DOCUMENT, PROGRAM["definitions"]) == []


@pytest.mark.parametrize(("method", "path", "status", "field", "values"), [*VALUES, *campaigns.VALUES])
def test_a_state_is_one_of_those_promised(
    method: str, path: str, status: int, field: str, values: str
) -> None:
    schemas = found(answer_of(method, path, status), field, CONTRACT["components"]["schemas"])
    assert [set(schema["enum"]) for schema in schemas] == [set(values.split())]


@pytest.mark.parametrize(("method", "path", "names"), [*PARAMETERS, *campaigns.PARAMETERS])
def test_a_promised_parameter_is_there(method: str, path: str, names: str) -> None:
    parameters = CONTRACT["paths"][path][method]["parameters"]
    assert set(names.split()) <= {item["name"] for item in parameters if item["in"] == "query"}


def test_a_campaigns_document_has_its_fields() -> None:
    assert lacking(CAMPAIGN, campaigns.CAMPAIGN_DOCUMENT, CAMPAIGN["definitions"]) == []
    assert set(CAMPAIGN["required"]) == {"id", "program", "title", "from", "until"}


def test_the_list_of_campaigns_takes_every_word_for_a_state() -> None:
    parameters = CONTRACT["paths"][campaigns.CAMPAIGNS]["get"]["parameters"]
    (state,) = [item["schema"] for item in parameters if item["name"] == "state"]
    assert set(campaigns.STATE_WORDS) <= set(state["enum"])


def test_nobody_changes_the_audit_log() -> None:
    paths = {path: set(methods) for path, methods in CONTRACT["paths"].items() if "audit-log" in path}
    assert paths == {"/v1/admin/audit-log": {"get"}}


def test_a_problem_says_why_in_words() -> None:
    problem = CONTRACT["components"]["schemas"]["Problem"]
    assert lacking(problem, "type title status detail code trace_id why.text") == []


def test_every_list_has_a_cursor() -> None:
    """But a leaderboard and a report, which are whole."""
    whole = {"/v1/leaderboards/{board_id}", "/v1/admin/reports/liability"}
    for path, methods in CONTRACT["paths"].items():
        content = methods.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
        schema = content.get("application/json", {}).get("schema")
        if schema is not None and path not in whole and not lacking(schema, "items"):
            assert lacking(schema, "next_cursor") == [], path


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
