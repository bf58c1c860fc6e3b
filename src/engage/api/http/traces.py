"""The trace of a credit in answers: each step with its code, its facts and a text."""

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from engage.domain.earning.trace import FACTS, TraceStep
from engage.ledger.credits import Credit
from engage.messages.traces import trace_line

_CODES: Final = "; ".join(f"`{code}` ({', '.join(names) or 'no facts'})" for code, names in FACTS.items())


class TraceLine(Struct, frozen=True):
    """A step of a decision. `text` is a sentence in the language of `Accept-Language`."""

    code: Annotated[str, Meta(description=f"Stable. New ones can be added. With their facts: {_CODES}.")]
    facts: dict[str, Any]
    text: str


def with_text(credit: Credit, language: str) -> Credit:
    """Add a text to each step of a credit's trace."""
    steps = msgspec.convert(credit.why["trace"], list[TraceStep])
    lines = [TraceLine(step.code, step.facts, trace_line(step, language)) for step in steps]
    return replace(credit, why=credit.why | {"trace": lines})
