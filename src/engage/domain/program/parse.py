"""Parse the text of a program document, or list every problem in it."""

import re
import tomllib
from typing import Any

import msgspec

from engage.domain.document import decoding
from engage.domain.document.errors import DocumentError, Problem
from engage.domain.program import validation
from engage.domain.program.program import Program

LONGEST_DOCUMENT = 1_000_000  # Characters.

_TOML_ERROR = re.compile(r"(?P<message>.*) \(at (?P<place>.*)\)\Z", re.DOTALL)


def parse(text: str, *, source: str) -> Program:
    """Parse and validate a document; `source` is its file or name, for the error.

    Raises DocumentError with the problems of the first check that finds any: TOML, field types, validation.
    """
    if len(text) > LONGEST_DOCUMENT:
        expected = f"at most {LONGEST_DOCUMENT} characters"
        raise DocumentError(source, [Problem("the document", expected, str(len(text)))])
    table = toml_table(text, source=source)
    problems = decoding.mismatches(table, Program)
    if problems:
        raise DocumentError(source, problems)
    program = msgspec.convert(table, Program)
    problems = validation.problems(program)
    if problems:
        raise DocumentError(source, problems)
    return program


def read(text: str, *, source: str) -> Program:
    """Parse a published document without validation: stricter rules of today do not end it.

    Raises DocumentError for a text that is not a program at all.
    """
    try:
        return msgspec.convert(toml_table(text, source=source), Program)
    except msgspec.ValidationError as error:
        raise DocumentError(source, [Problem("the document", "a program", str(error))]) from error


def toml_table(text: str, *, source: str) -> dict[str, Any]:
    """Raises DocumentError with the line and column of the first error."""
    try:
        # Some editors begin a file with a byte order mark.
        return tomllib.loads(text.removeprefix("\ufeff"))
    except tomllib.TOMLDecodeError as error:
        match = _TOML_ERROR.match(str(error))
        message, place = (match["message"], match["place"]) if match else (str(error), "the document")
        raise DocumentError(source, [Problem(place, "TOML", message[:1].lower() + message[1:])]) from error
    except RecursionError as error:
        problem = Problem("the document", "TOML", "lists or tables nested too deeply")
        raise DocumentError(source, [problem]) from error


def schema(document: type[Program] = Program) -> dict[str, Any]:
    """The JSON Schema of documents, for editors: draft 7, which editors of TOML support best."""
    (root,), definitions = msgspec.json.schema_components([document], ref_template="#/definitions/{name}")
    name = root["$ref"].rpartition("/")[2]
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        **definitions.pop(name),
        "title": "engage program document",
        "definitions": definitions,
    }
