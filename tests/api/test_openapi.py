"""The contract describes the API, and the API keeps the contract."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import jsonschema_rs
import msgspec
import pytest
import yaml

from engage.api.contract.built import read_built
from engage.api.contract.openapi import as_yaml, document
from engage.api.controllers import controllers
from engage.domain.refusals import Code, UseCase, codes_of
from engage.flows.shop.events import AnyEvent

KEPT = Path(__file__).parents[2] / "openapi" / "engage.yaml"
PROBLEM_JSON = "application/problem+json"


@pytest.fixture(scope="module")
def contract() -> dict[str, Any]:
    return document(controllers(sandbox=True))


def operations(contract: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in contract["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_the_committed_contract_is_up_to_date(contract: dict[str, Any]) -> None:
    assert KEPT.read_text(encoding="utf-8") == as_yaml(contract), "`engage openapi` writes it"
    assert yaml.load(as_yaml(contract), yaml.CSafeLoader) == contract


@pytest.mark.parametrize("sandbox", [True, False])
def test_the_contract_that_an_api_serves_is_that_of_its_code(sandbox: bool) -> None:
    served = msgspec.json.decode(read_built(sandbox=sandbox))
    assert served == document(controllers(sandbox=sandbox)), "`engage openapi` writes it"


def test_every_operation_is_described_with_its_problems(contract: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, operation in operations(contract)]
    assert len(set(ids)) == len(ids)
    for name, operation in operations(contract):
        assert operation["summary"], name
        assert operation["description"], name
        assert len(operation["tags"]) == 1, name
        assert operation["security"], name
        for parameter in operation.get("parameters", []):
            assert parameter["description"], name
        for status, answer in operation["responses"].items():
            assert answer["description"], name
            if status == "default" or status[0] in "45":
                assert PROBLEM_JSON in answer["content"] or "Health" in operation["tags"], name


def test_an_operation_documents_the_refusals_of_its_use_case_and_kind(
    contract: dict[str, Any],
) -> None:
    documented = {
        operation["operationId"]: {
            code
            for answer in operation["responses"].values()
            for code in answer.get("content", {}).get(PROBLEM_JSON, {}).get("examples", ())
        }
        for _, operation in operations(contract)
    }
    general = {"invalid_request", "unauthorized", "rate_limited", "unavailable", "internal_error"}
    with_body = {"body_too_large", "request_timeout", "idempotency_key_reused"}
    assert documented["getHome"] == general
    assert documented["getWithdrawal"] == general | {"not_found"}
    under_key = with_body | {"request_in_flight"}
    assert documented["recordFuelTap"] == general | under_key | set(codes_of(UseCase.RECORD_FUEL_TAP))
    assert documented["createWithdrawal"] == (
        general | under_key | {"idempotency_key_required"} | set(codes_of(UseCase.WITHDRAW))
    )
    assert documented["captureHold"] == (
        general | with_body | {"forbidden", "other_program", "not_found"} | set(codes_of(UseCase.END_HOLD))
    )
    assert documented["getLiveness"] == {"internal_error"}


VERBS = (
    *(
        "add",
        "adjust",
        "advance",
        "answer",
        "approve",
        "buy",
        "cancel",
        "capture",
        "change",
        "create",
        *("duplicate", "end", "enter", "erase", "fail"),
        *("get", "grant"),
        "hold",
        "list",
        "merge",
        *("pass", "pause", "publish"),
    ),
    *(
        "play",
        "quote",
        "record",
        "redeem",
        "register",
        "reject",
        "release",
        "send",
        "settle",
        *("simulate", "start", "submit", "try"),
        "resume",
    ),
    *("undo", "update", "void", "wait"),
)
# Names of schemas that say nothing to a reader of a generated client.
BARE_PARTICIPLE = re.compile(
    "(Adjust|Chang|End|Join|Mak|Merg|Mov|Post|Publish|Void|Expir|Tap|Shar|Us)(ed|ing)"
)


def test_an_operation_id_is_a_verb_and_a_noun(contract: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, operation in operations(contract)]
    assert [id_ for id_ in ids if not re.fullmatch(rf"({'|'.join(VERBS)})([A-Z][a-z]*)+", id_)] == []


def test_a_schema_is_named_by_a_noun(contract: dict[str, Any]) -> None:
    names = contract["components"]["schemas"]
    assert [name for name in names if BARE_PARTICIPLE.fullmatch(name)] == []
    assert [name for name in names if not re.fullmatch("([A-Z][a-z]*)+", name)] == []


def test_every_post_of_members_and_the_shop_honours_an_idempotency_key(contract: dict[str, Any]) -> None:
    for name, operation in operations(contract):
        keyed = "Idempotency-Key" in [parameter["name"] for parameter in operation.get("parameters", [])]
        assert keyed == (name.startswith("POST") and operation["tags"][0] not in ("Sandbox", "Health")), name


def test_every_body_refuses_unknown_fields(contract: dict[str, Any]) -> None:
    schemas = contract["components"]["schemas"]

    def structs(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
        schema = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
        for inner in [*schema.get("oneOf", []), *schema.get("anyOf", [])]:
            yield from structs(inner)
        if schema.get("type") == "array":
            yield from structs(schema["items"])
        if "properties" in schema:  # Others are texts by locale.
            yield schema
            for field in schema["properties"].values():
                yield from structs(field)

    for name, operation in operations(contract):
        if "requestBody" in operation:
            content = operation["requestBody"]["content"]
            if content.keys() == {"text/csv"}:
                continue
            found = list(structs(content["application/json"]["schema"]))
            assert found, name
            assert [
                struct["title"] for struct in found if struct.get("additionalProperties") is not False
            ] == []


def test_events_are_discriminated_by_type(contract: dict[str, Any]) -> None:
    event = contract["components"]["schemas"]["Event"]
    assert event["discriminator"]["propertyName"] == "type"
    types = {str(kind.__struct_config__.tag) for kind in get_args(AnyEvent)}
    assert set(event["discriminator"]["mapping"]) == types
    assert {variant["$ref"] for variant in event["oneOf"]} == set(event["discriminator"]["mapping"].values())


def test_the_examples_are_valid_problems(contract: dict[str, Any]) -> None:
    schema = {"$ref": "#/components/schemas/Problem", "components": contract["components"]}
    validator = jsonschema_rs.validator_for(schema)
    examples = contract["components"]["examples"]
    for name, example in examples.items():
        code = Code.named(name)
        assert code is not None
        validator.validate(example["value"])
        assert (example["value"]["code"], example["value"]["status"]) == (code, code.status)
        assert not re.search(r"[{}…]", example["value"]["detail"])
    named = set(re.findall(r"#/components/examples/(\w+)", str(contract["paths"])))
    assert named == examples.keys()
