"""The trace of a credit in answers: each step with its code, its facts and a text."""

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from engage.domain.earning.trace import FACTS, TraceCode, TraceStep, step
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
    currency = credit.why.get("activity", {}).get("currency")  # Only orders have one.
    lines = [
        TraceLine(line.code, line.facts, trace_line(line, language, currency))
        for line in map(_step_of, msgspec.convert(credit.why["trace"], list[TraceStep | str]))
    ]
    return replace(credit, why=credit.why | {"trace": lines})


def _step_of(line: TraceStep | str) -> TraceStep:
    """Wrap a sentence: a process of an earlier release may write some after the migration."""
    return step(TraceCode.TEXT, text=line) if isinstance(line, str) else line
