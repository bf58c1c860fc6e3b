"""A program document's text, made a Program, or every reason why it is none."""

import re
import tomllib
from typing import Any

import msgspec

from engage.domain.document import decoding
from engage.domain.document.errors import DocumentError, Problem
from engage.domain.program import validation
from engage.domain.program.program import Program

LONGEST_DOCUMENT = 1_000_000  # Characters.

_WHERE = re.compile(r"(?P<what>.*) \(at (?P<where>.*)\)\Z", re.DOTALL)


def parse(text: str, *, source: str) -> Program:
    """The program that a TOML text describes; `source` is its file or name, for the error.

    Raises DocumentError with all problems of the first of three looks that finds any: whether it is TOML,
    whether each field is of its type, whether it makes sense as a whole.
    """
    if len(text) > LONGEST_DOCUMENT:
        expected = f"at most {LONGEST_DOCUMENT} characters"
        raise DocumentError(source, [Problem("the document", expected, str(len(text)))])
    table = _toml(text, source)
    problems = decoding.problems(table, Program)
    if problems:
        raise DocumentError(source, problems)
    program = msgspec.convert(table, Program)
    problems = validation.problems(program)
    if problems:
        raise DocumentError(source, problems)
    return program


def read(text: str, *, source: str) -> Program:
    """The program of a text that was checked when it was published: what today finds unsound stays in force.

    Raises DocumentError where it is no program at all.
    """
    try:
        return msgspec.convert(_toml(text, source), Program)
    except msgspec.ValidationError as error:
        raise DocumentError(source, [Problem("the document", "a program", str(error))]) from error


def _toml(text: str, source: str) -> dict[str, Any]:
    try:
        # Some editors begin a file with a byte order mark.
        return tomllib.loads(text.removeprefix("\ufeff"))
    except tomllib.TOMLDecodeError as error:
        match = _WHERE.match(str(error))
        what, where = (match["what"], match["where"]) if match else (str(error), "the document")
        raise DocumentError(source, [Problem(where, "TOML", what[:1].lower() + what[1:])]) from error
    except RecursionError as error:
        problem = Problem("the document", "TOML", "lists or tables nested too deeply")
        raise DocumentError(source, [problem]) from error


def schema() -> dict[str, Any]:
    """The JSON Schema of program documents, for editors. Draft 7, which is what editors of TOML know best."""
    (root,), parts = msgspec.json.schema_components([Program], ref_template="#/definitions/{name}")
    name = root["$ref"].rpartition("/")[2]
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        **parts.pop(name),
        "title": "engage program document",
        "definitions": parts,
    }
