"""Anyone reads the JSON Schemas of documents."""

import json
from pathlib import Path

import pytest

from tests.api.calling import Calling, fields, problem

PUBLISHED = Path(__file__).parents[2] / "openapi"


@pytest.mark.parametrize("kind", ["program", "campaign"])
async def test_a_schema_is_served_without_a_key_and_once_while_it_stays(api: Calling, kind: str) -> None:
    path = f"/v1/schemas/{kind}.json"
    first = await api.nobody.get(path)
    assert first.status_code == 200
    assert first.json() == json.loads((PUBLISHED / f"{kind}.schema.json").read_text(encoding="utf-8"))
    assert first.headers["cache-control"] == "public, max-age=300"
    again = await api.nobody.get(path, if_none_match=first.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["cache-control"] == "public, max-age=300"
    assert (await api.nobody.get(path, if_none_match='"another"')).status_code == 200
    assert fields(problem(await api.nobody.get(f"{path}?draft=7"), 400, "invalid_request")) == ["draft"]


async def test_there_is_no_other_schema(api: Calling) -> None:
    problem(await api.nobody.get("/v1/schemas/quiz.json"), 404, "not_found")
