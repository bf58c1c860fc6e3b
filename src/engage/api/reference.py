"""The API reference as a page shows it: the contract's document, flattened to what one reads."""

import json
import re
from collections.abc import Iterator
from typing import Any

from markupsafe import Markup, escape
from msgspec import Struct

Document = dict[str, Any]

_CODE = re.compile(r"`([^`]+)`")
_DEPTH = 6


class Row(Struct, frozen=True):
    """A field. `path` has dots for fields of fields and [] for the items of a list."""

    path: str
    kind: str
    required: bool
    text: str


class Body(Struct, frozen=True):
    """A body as a table. Where there are several kinds, each has its own."""

    title: str
    rows: list[Row]


class Answered(Struct, frozen=True):
    status: str
    text: str
    bodies: list[Body]
    codes: list[str]


class Operation(Struct, frozen=True):
    id: str
    method: str
    path: str
    summary: str
    text: str
    credentials: str | None
    parameters: list[Row]
    bodies: list[Body]
    success: list[Answered]
    problems: list[Answered]
    curl: str


class Section(Struct, frozen=True):
    name: str
    text: str
    operations: list[Operation]


class Reference(Struct, frozen=True):
    title: str
    version: str
    text: str
    sections: list[Section]


def of(document: Document) -> Reference:
    sections = [
        Section(tag["name"], tag["description"], list(_operations(document, tag["name"])))
        for tag in document["tags"]
    ]
    info = document["info"]
    return Reference(info["title"], info["version"], info["description"], sections)


def with_code(text: str) -> Markup:
    """Text with what stands in backticks as code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704  # Escaped just before.


def _operations(document: Document, tag: str) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method, found in methods.items():
            if tag in found["tags"]:
                yield _operation(document, path, method, found)


def _operation(document: Document, path: str, method: str, found: Document) -> Operation:
    schema = _json_schema(found.get("requestBody", {}))
    answers = [_answered(document, status, one) for status, one in found["responses"].items()]
    return Operation(
        id=found["operationId"],
        method=method.upper(),
        path=path,
        summary=found["summary"],
        text=found.get("description", ""),
        credentials=next((name for one in found["security"] for name in one), None),
        parameters=[
            Row(one["name"], _kind(document, one["schema"]), one.get("required", False), one["description"])
            for one in found.get("parameters", ())
        ],
        bodies=[] if schema is None else list(_bodies(document, schema)),
        success=[one for one in answers if not one.codes],
        problems=[one for one in answers if one.codes and one.status != "default"],
        curl=_curl(document, path, method, found, schema),
    )


def _json_schema(holder: Document) -> Document | None:
    found: Document | None = holder.get("content", {}).get("application/json", {}).get("schema")
    return found


def _answered(document: Document, status: str, found: Document) -> Answered:
    schema = _json_schema(found)
    problems = found.get("content", {}).get("application/problem+json", {}).get("examples", {})
    bodies = [] if schema is None else list(_bodies(document, schema))
    return Answered(status, found["description"], bodies, list(problems))


def _bodies(document: Document, schema: Document) -> Iterator[Body]:
    schema = _resolved(document, schema)
    kinds = schema.get("oneOf") or schema.get("anyOf")
    if not kinds:
        yield Body(schema.get("title", ""), list(_rows(document, schema)))
        return
    lists = [one for one in kinds if one.get("type") == "array"]
    for kind in kinds:
        if kind not in lists:
            yield from _bodies(document, kind)
    for one in lists:
        yield Body(f"a list of these, at most {one['maxItems']}", [])


def _rows(document: Document, schema: Document, path: str = "", depth: int = 0) -> Iterator[Row]:
    schema = _resolved(document, schema)
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        here = f"{path}{name}"
        known = _resolved(document, field)
        text = field.get("description") or ("" if "properties" in known else known.get("description", ""))
        yield Row(here, _kind(document, field), name in required, text)
        if depth < _DEPTH:
            inner = _one_kind(document, known)
            if inner.get("type") == "array":
                yield from _rows(document, inner["items"], f"{here}[].", depth + 1)
            else:
                yield from _rows(document, inner, f"{here}.", depth + 1)


def _one_kind(document: Document, schema: Document) -> Document:
    """The schema itself, or that of what may be there or be null."""
    kinds = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    return _resolved(document, kinds[0]) if len(kinds) == 1 else schema


def _resolved(document: Document, schema: Document) -> Document:
    while "$ref" in schema:
        found: Document = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return schema


def _kind(document: Document, schema: Document) -> str:
    """The type in words."""
    schema = _resolved(document, schema)
    if "oneOf" in schema:
        return " or ".join(_resolved(document, one)["title"] for one in schema["oneOf"])
    if "anyOf" in schema:
        return " or ".join(_kind(document, one) for one in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    words = " or ".join(kinds)
    if schema["type"] == "array":
        words = f"list of {_kind(document, schema['items'])}"
    if "format" in schema:
        words = words.replace("string", schema["format"])
    bounds = [schema.get(name) for name in ("minimum", "maximum", "minLength", "maxLength")]
    if bounds[1] is not None:
        words += f", {bounds[0]} to {bounds[1]}"
    if bounds[3] is not None:
        words += f", {bounds[2] or 0} to {bounds[3]} long"
    return words


_SAMPLES: Document = {
    "program": "eu-mi-points",
    "country": "ES",
    "member_id": "m-1001",
    "product_id": "redmi-note-13",
    "review_id": "r-77",
    "id": "evt-1",
    "time": "2026-11-21T10:00:00Z",
    "advance": "PT5M",
}


def _curl(document: Document, path: str, method: str, found: Document, schema: Document | None) -> str:
    verb = "" if method == "get" else f"-X {method.upper()} "
    parts = [f'curl {verb}"$ENGAGE{path}"']
    credentials = next((name for one in found["security"] for name in one), None)
    if credentials is not None:
        variable = {"member": "TOKEN", "shop": "SHOP_KEY", "operator": "ADMIN_KEY"}[credentials]
        parts.append(f'-H "Authorization: Bearer ${variable}"')
    if schema is not None and found["requestBody"]["required"]:
        parts.append(f"-d '{_sample(document, schema)}'")
    return " \\\n  ".join(parts)


def _sample(document: Document, schema: Document) -> str:
    return json.dumps(_sample_of(document, schema))


def _sample_of(document: Document, schema: Document) -> Any:
    schema = _resolved(document, schema)
    kinds = schema.get("oneOf") or [one for one in schema.get("anyOf", ()) if one.get("type") != "array"]
    if kinds:
        return _sample_of(document, kinds[0])
    if "enum" in schema:
        return schema["enum"][0]
    properties = schema.get("properties", {})
    wanted = [*schema.get("required", ()), *(name for name in ("advance", "member_id") if name in properties)]
    return {
        name: _SAMPLES[name] if name in _SAMPLES else _sample_of(document, properties[name])
        for name in properties
        if name in wanted
    }
