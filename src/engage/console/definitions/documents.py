"""Documents of definitions as text: read with all that is wrong about them, and examples to begin with."""

from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Any, Final

import msgspec

from engage.console.context import Visitor
from engage.console.mistakes import Refused, mistakes_of
from engage.domain.definitions.kind import D, DefinitionKind
from engage.domain.document import decoding
from engage.domain.document.compact import compact
from engage.domain.document.errors import DocumentError, Problem, one_of, shown
from engage.domain.program.parse import toml_table

_LOCAL: Final = (datetime, date, time)

EXAMPLES: Final[Mapping[str, str]] = {
    "quiz": """id = "spring-quiz"
program = "{program}"
title = {{ en = "What do you know about spring?" }}
attempts = {{ count = 1, window = "day" }}
time_limit = "PT2M"
points_per_right = 5

[[questions]]
id = "first"
kind = "one"
text = {{ en = "When does spring begin in the north?" }}
options = [
    {{ id = "march", text = {{ en = "In March" }} }},
    {{ id = "june", text = {{ en = "In June" }} }},
]
right = ["march"]
explanation = {{ en = "Day and night are equally long around 20 March." }}
""",
    "draw": """id = "spring-draw"
program = "{program}"
title = {{ en = "Ten members win" }}
opens_at = {opens:%Y-%m-%dT00:00:00}
closes_at = {closes:%Y-%m-%dT00:00:00}
winners = 10
points = 500
""",
}


def text_of(kind: DefinitionKind[Any], program_id: str, document: Mapping[str, Any]) -> str:
    """The TOML of a stored document, as a person would write it, with the program that it stands in."""
    definition = msgspec.convert({**document, "program": program_id}, kind.struct)
    return msgspec.toml.encode(compact(definition, keep=_LOCAL)).decode()


def read_text(visitor: Visitor, kind: DefinitionKind[D], text: str) -> D:
    """Read a document of one of the visitor's programs. Raises Refused."""
    try:
        value = toml_table(text, source="")
    except DocumentError as error:
        raise Refused(mistakes_of(text, error.problems)) from None
    problems = decoding.mismatches(value, kind.struct, notation=decoding.TOML)
    if problems:
        raise Refused(mistakes_of(text, problems))
    definition = msgspec.convert(value, kind.struct)
    if definition.program not in visitor.programs:
        problem = Problem("program", one_of(visitor.programs), shown(definition.program))
        raise Refused(mistakes_of(text, [problem]))
    return definition
