"""The fields that a log may have, and what may be in each. Everything else is masked.

A new field is added here, with its kind, or it is not written: `tests/logs` reads every call.
"""

import re
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Final

from engage.logs.pseudonyms import PREFIX, Pseudonyms

MASK: Final = "…"
NAME_LENGTH: Final = 100
TEXT_LENGTH: Final = 300
TRACE_LENGTH: Final = 12_000

# An id, a code, a name of ours. It has no spaces, so no sentence of anybody.
_NAME: Final = re.compile(r"[A-Za-z0-9_.:\-/]{1,100}")
# Digits of a phone, card or account; an address; a key, token or password in the middle of a sentence.
_PERSONAL: Final = re.compile(r"\+?\d[\d \-]{5,}\d|\S+@\S+|[A-Za-z0-9_\-+/=.%]{24,}|\?\S+")


def _number(value: Any) -> object:
    return value if isinstance(value, int | float) or value is None else MASK


def _name(value: Any) -> object:
    text = str(value)
    return text if not text or _NAME.fullmatch(text) else MASK


def _names(value: Any) -> object:
    return [_name(each) for each in value] if isinstance(value, list | tuple) else _name(value)


def _text(value: Any) -> object:
    """A sentence of ours, perhaps with a value in it: whatever looks like somebody's is masked."""
    return _PERSONAL.sub(MASK, one_line(str(value)[:TEXT_LENGTH]))


def _pair(value: Any) -> object:
    return _number(value) if isinstance(value, int | float) else _name(value)


def _ours(value: Any) -> object:
    """A text that holds nothing of a caller: an event, a template."""
    return one_line(str(value)[:TEXT_LENGTH])


def _trace(value: Any) -> object:
    """The types and places of an error, a line each."""
    return one_line(str(value)[:TRACE_LENGTH], keep="\n")


Kind = Callable[[Any], object]

FIELDS: Final[Mapping[str, Kind]] = {
    **dict.fromkeys(("event", "template", "at"), _ours),
    "exception": _trace,
    **dict.fromkeys(("level", "timestamp", "logger"), _name),
    # Ids.
    **dict.fromkeys(("trace_id", "span_id", "request_id", "job_id", "credit", "id"), _name),
    **dict.fromkeys(("operation", "method", "code", "part", "step", "job", "loop", "process"), _name),
    "setting": _name,
    **dict.fromkeys(("program", "campaign", "draw", "board", "backtest", "referral", "preset"), _name),
    **dict.fromkeys(("version", "found", "needed", "state", "outcome", "of", "root", "host"), _pair),
    **dict.fromkeys(("newest", "before", "now"), _pair),
    "credits": _names,
    # Quantities.
    **dict.fromkeys(("status", "count", "changes", "asked", "closed", "compared", "unanswered"), _number),
    **dict.fromkeys(("differences", "connections", "open", "port", "entries", "round", "winners"), _number),
    **dict.fromkeys(("percent", "total", "skew_s", "works_up_to_s", "left_out_before", "ms"), _number),
    **dict.fromkeys(("age_s", "values"), _number),
    # Sentences.
    **dict.fromkeys(("reason", "error", "detail", "difference", "failure", "relay", "problems"), _text),
}


class Cleaner:
    """A processor of structlog that lets through what `FIELDS` says. `member` is (program, member)."""

    def __init__(self, pseudonyms: Pseudonyms) -> None:
        self._pseudonyms = pseudonyms

    def __call__(self, _logger: Any, _name: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
        return {self._field(name): self._value(name, value) for name, value in event.items()}

    def _field(self, name: str) -> str:
        return name if _NAME.fullmatch(name) else MASK

    def _value(self, name: str, value: Any) -> object:
        if name == "member":
            known = isinstance(value, tuple) and len(value) == 2
            return self._pseudonyms.of(*value) if known else PREFIX + MASK
        kind = FIELDS.get(name)
        return MASK if kind is None else kind(value)


def one_line(text: str, *, keep: str = "") -> str:
    """Escape what is not printable, so that no value can begin a line or colour a terminal."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each in keep else each.encode("unicode_escape").decode()
        for each in text
    )
