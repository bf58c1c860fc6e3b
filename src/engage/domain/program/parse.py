"""Parse the text of a program document, or list every problem in it."""

from functools import lru_cache
from typing import Any, Final

import msgspec

from engage.decoding.toml_text import MalformedToml, decode_toml
from engage.domain.document import decoding
from engage.domain.document.errors import DocumentError, Problem
from engage.domain.document.schema import document_schema
from engage.domain.program import validation
from engage.domain.program.program import Program

# Published versions of programs. To read a large one takes tens of milliseconds.
REMEMBERED: Final = 256


def parse(text: str, *, source: str) -> Program:
    """Parse and validate a document; `source` is its file or name, for the error.

    Raises DocumentError with the problems of the first check that finds any: TOML, field types, validation.
    """
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
        return _published(text)
    except MalformedToml as error:
        raise DocumentError(source, [Problem(error.place, "TOML", error.found)]) from None
    except msgspec.ValidationError as error:
        raise DocumentError(source, [Problem("the document", "a program", str(error))]) from error


@lru_cache(REMEMBERED)
def _published(text: str) -> Program:
    """Each change of the published versions, and each audit, reads all of them; and none of them changes."""
    return msgspec.convert(decode_toml(text), Program)


def toml_table(text: str, *, source: str) -> dict[str, Any]:
    """Raises DocumentError with the place of the first error."""
    try:
        return decode_toml(text)
    except MalformedToml as error:
        raise DocumentError(source, [Problem(error.place, "TOML", error.found)]) from error


def schema(document: type[Program] = Program) -> dict[str, Any]:
    """The JSON Schema of programs."""
    return document_schema(document, "engage program document")
