"""The reason of a credit in answers: in words, and as its trace, each step with code, facts and a text."""

from typing import Annotated, Any, Final

from msgspec import Meta, Struct
from msgspec.structs import replace

from engage.domain.earning.trace import FACTS
from engage.ledger.credits import Credit
from engage.messages.why import TitleOf, trace_texts, why_text

_CODES: Final = "; ".join(f"`{code}` ({', '.join(names) or 'no facts'})" for code, names in FACTS.items())


class TraceLine(Struct, frozen=True):
    """A step of a decision. `text` is a sentence in the language of `Accept-Language`."""

    code: Annotated[str, Meta(description=f"Stable. New ones can be added. With their facts: {_CODES}.")]
    facts: dict[str, Any]
    text: str


def with_text(credit: Credit, language: str, title_of: TitleOf) -> Credit:
    """Add a text to the whole reason of a credit, and to each step of its trace."""
    lines = [
        TraceLine(line.code, line.facts, text) for line, text in trace_texts(credit.why, language, title_of)
    ]
    text = why_text(credit.why, language, title_of)
    return replace(credit, why={**credit.why, "trace": lines, "text": text})
