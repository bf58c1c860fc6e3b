"""The JSON Schemas of documents: presets fit, and what the documents refuse does not."""

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from engage import programs
from engage.domain.campaigns import parse as campaign_documents
from engage.domain.program import parse as program_documents
from engage.programs import campaigns

PUBLISHED = Path(__file__).parents[2] / "openapi"
SCHEMAS = {"program": program_documents.schema(), "campaign": campaign_documents.schema()}
VALIDATORS = {name: jsonschema_rs.validator_for(schema) for name, schema in SCHEMAS.items()}
TEXTS = {
    **{f"program {name}": programs.text(name) for name in programs.names()},
    **{f"campaign {name}": campaigns.text(name) for name in campaigns.names()},
}


def decoded(name: str) -> dict[str, Any]:
    """A preset as JSON has it."""
    table = program_documents.toml_table(TEXTS[name], source=name)
    found: dict[str, Any] = json.loads(msgspec.json.encode(table))
    return found


@pytest.mark.parametrize("name", TEXTS)
def test_the_presets_fit_their_schema(name: str) -> None:
    kind = name.partition(" ")[0]
    assert [error.message for error in VALIDATORS[kind].iter_errors(decoded(name))] == []


@pytest.mark.parametrize("name", ["campaign eu-mi-points/members-week-2022", "program eu-mi-points/2022"])
def test_what_a_document_must_have_the_schema_needs_too(name: str) -> None:
    kind, document = name.partition(" ")[0], decoded(name)
    for field in SCHEMAS[kind]["required"]:
        lacking = {key: value for key, value in document.items() if key != field}
        assert not VALIDATORS[kind].is_valid(lacking), field
    assert not VALIDATORS[kind].is_valid(document | {"unknown": 1})
    wrong = copy.deepcopy(document)
    wrong["id"] = "Not an id!"
    assert not VALIDATORS[kind].is_valid(wrong)


def test_a_campaign_needs_five_fields() -> None:
    assert SCHEMAS["campaign"]["required"] == ["id", "program", "title", "from", "until"]


@pytest.mark.parametrize(
    "boost",
    [
        {"id": "x", "rules": [], "multiply": 2},
        {"id": "x", "rules": ["review"], "multiply": 1},
        {"id": "x", "rules": ["review"], "multiply": "2"},
        {"id": "x", "rules": ["review"], "add": 0},
        {"id": "x", "rules": ["review"], "add": 1, "weekdays": ["monday"]},
        {"id": "x", "rules": ["review"], "add": 1, "hours": ["10:00"]},
        {"id": "x", "rules": ["review"], "add": 1, "hours": ["10:00", "25:00"]},
        {"id": "x", "rules": ["review"], "add": 1, "chanels": ["web"]},
    ],
)
def test_a_boost_that_a_campaign_refuses_does_not_fit(boost: dict[str, Any]) -> None:
    document = decoded("campaign eu-mi-points/double-points")
    assert VALIDATORS["campaign"].is_valid(document)
    assert not VALIDATORS["campaign"].is_valid(document | {"boosts": [boost]})


@pytest.mark.parametrize("kind", SCHEMAS)
def test_the_published_schemas_are_up_to_date(kind: str) -> None:
    kept = json.loads((PUBLISHED / f"{kind}.schema.json").read_text(encoding="utf-8"))
    assert kept == SCHEMAS[kind], "`engage openapi` writes it"
