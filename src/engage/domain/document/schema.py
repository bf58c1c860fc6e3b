"""JSON Schemas of documents, for editors and tools."""

from typing import Any

import msgspec
from msgspec import Struct


def document_schema(document: type[Struct], title: str) -> dict[str, Any]:
    """The schema of a document: draft 7, which editors of TOML support best."""
    (root,), definitions = msgspec.json.schema_components([document], ref_template="#/definitions/{name}")
    name = root["$ref"].rpartition("/")[2]
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        **definitions.pop(name),
        "title": title,
        "definitions": definitions,
    }
