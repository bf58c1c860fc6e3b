"""The form of a segment's conditions, as a document in JSON."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from engage.console.forms import Form
from engage.domain.campaigns.segments import SegmentDocument
from engage.domain.document import decoding
from engage.domain.document.errors import DocumentError, Problem

_LISTS: Final = ("countries", "tiers")
_MOMENTS: Final = ("joined_after", "joined_before")


def typed_document(form: Form, title: Mapping[str, str] | None, language: str) -> dict[str, Any]:
    """Read a form, with the titles of other languages as they are. Empty fields are left out."""
    conditions: dict[str, Any] = {name: form.texts(name) for name in _LISTS}
    conditions |= {name: form.moment(name) for name in _MOMENTS}
    days = form.text("no_order_for")
    conditions["no_order_for"] = f"P{days}D" if days else ""
    conditions["first_order"] = bool(form.text("first_order"))
    percent = form.text("percent")
    conditions["percent"] = int(percent) if percent.isascii() and percent.isdecimal() else percent
    titles = dict(title or {}) | {language: form.text("title")}
    document = {
        "title": {name: text for name, text in titles.items() if text},
        "computed": {name: value for name, value in conditions.items() if value not in ("", [], False)},
    }
    return document if document["title"] else {"computed": document["computed"]}


def read_document(typed: Mapping[str, Any]) -> SegmentDocument:
    """Raises DocumentError."""
    problems = decoding.mismatches(typed, SegmentDocument, notation=decoding.JSON)
    if problems:
        raise DocumentError("", problems)
    return msgspec.convert(typed, SegmentDocument)


def mistakes_at(problems: list[Problem]) -> dict[str, str]:
    """The problems of a document by the field of the form, the first of each; `` for those of all of it."""
    found: dict[str, str] = {}
    for problem in problems:
        path = problem.path.removeprefix("computed").removeprefix(".")
        found.setdefault(path.partition("[")[0].partition(".")[0], problem.mistake)
    return found
