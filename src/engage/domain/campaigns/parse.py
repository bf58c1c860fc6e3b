"""Read the document of a campaign: TOML or JSON, every mismatch at its field."""

from typing import Any

import msgspec

from engage.decoding.json_text import decode_json
from engage.decoding.malformed import Malformed
from engage.domain.campaigns.definition import Campaign
from engage.domain.document import decoding
from engage.domain.document.decoding import JSON, TOML, Notation
from engage.domain.document.errors import DocumentError, Problem
from engage.domain.document.schema import document_schema
from engage.domain.program.parse import toml_table

_anything = msgspec.json.Decoder()


def parse_toml(text: str, *, source: str) -> Campaign:
    """Raises DocumentError. Nothing is validated beyond the types of fields."""
    return from_value(toml_table(text, source=source), source=source, notation=TOML)


def parse_json(text: str, *, source: str) -> Campaign:
    """The same of JSON."""
    try:
        value = _json_value(text)
    except Malformed as error:
        found = str(error).removeprefix("JSON is malformed: ")
        raise DocumentError(source, [Problem("the document", "JSON", found)]) from error
    return from_value(value, source=source, notation=JSON)


def value_of(text: str, *, notation: Notation) -> object:
    """Decode a text without looking at its fields; None for one that cannot be decoded."""
    try:
        return _json_value(text) if notation is JSON else toml_table(text, source="")
    except (Malformed, DocumentError):
        return None


def schema() -> dict[str, Any]:
    """The JSON Schema of campaigns."""
    return document_schema(Campaign, "engage campaign document")


def from_value(value: object, *, source: str, notation: Notation) -> Campaign:
    """The same of a value that was decoded, whose mismatches are in the words of a notation."""
    problems = decoding.mismatches(value, Campaign, notation=notation)
    if problems:
        raise DocumentError(source, problems)
    return msgspec.convert(value, Campaign)


def _json_value(text: str) -> object:
    """Raises Malformed, also for half of a character, which is not UTF-8."""
    return decode_json(text.encode(errors="surrogatepass"), _anything)
