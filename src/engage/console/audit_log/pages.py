"""The audit log: newest first, by subject and program, with the fields that a deed has changed."""

import json
from typing import Any, Final

from litestar import Controller, get
from litestar.response import Response
from msgspec import Struct

from engage.console.context import HtmlRequest, Visitor, asked, visitor_of
from engage.console.paging import PAGE, Shown, read_number
from engage.console.permissions import needs
from engage.console.rendering import page
from engage.domain.document.difference import Difference, differences
from engage.domain.operators.roles import Permission
from engage.flows.operations.audit_log import AuditEntryView, changed_entries, read_audit_log

_FIELDS_SHOWN: Final = 40
_LONGEST_VALUE: Final = 400
_QUERY: Final = ("subject", "operator", "program", "before")


class ShownEntry(Struct, frozen=True):
    """An entry with what differs between before and after; `more` fields differ that are not shown."""

    number: int
    entry: AuditEntryView
    changes: list[Difference]
    more: int


class AuditLogController(Controller):
    path = "/audit"

    @get(opt=needs(Permission.APPROVE))
    async def entries(self, request: HtmlRequest) -> Response[Any]:
        visitor = visitor_of(request)
        subject, operator, program, before = (asked(request, name) for name in _QUERY)
        found, more = await read_audit_log(
            visitor.services,
            _programs(visitor, program),
            subject=subject or None,
            operator=operator or None,
            before=read_number(before),
            limit=PAGE,
        )
        numbers = [number for number, _ in found]
        return page(
            request,
            visitor,
            "audit_log/list.html",
            entries=Shown(
                [_shown(number, entry) for number, entry in found],
                str(numbers[-1]) if more else "",
                not before,
            ),
            changed=await changed_entries(visitor.services, numbers),
            chosen={"subject": subject, "operator": operator, "program": program},
            programs=visitor.programs,
        )


def _programs(visitor: Visitor, program: str) -> list[str] | None:
    """The programs whose entries are shown. None: also those of no program, for whoever works on all of them.

    Raises NotFoundException for a program of others.
    """
    if program:
        visitor.check_program(program)
        return [program]
    return None if visitor.operator.programs is None else visitor.programs


def _shown(number: int, entry: AuditEntryView) -> ShownEntry:
    before, after = entry.before, entry.after
    if isinstance(before, dict | None) and isinstance(after, dict | None):
        before, after = before or {}, after or {}
    found = [change for each in differences(before, after) for change in _fields(each)]
    changes = [
        Difference(each.field, _text(each.yours), _text(each.theirs)) for each in found[:_FIELDS_SHOWN]
    ]
    return ShownEntry(number, entry, changes, len(found) - len(changes))


def _fields(change: Difference) -> list[Difference]:
    """The fields of a document or a list that is new or gone; else the change as it is."""
    given = change.yours if change.theirs is None else change.theirs
    if None not in (change.yours, change.theirs) or not isinstance(given, dict | list):
        return [change]
    nothing: Any = {} if isinstance(given, dict) else []
    yours, theirs = (nothing if side is None else side for side in (change.yours, change.theirs))
    return [each for inner in differences(yours, theirs, change.field) for each in _fields(inner)]


def _text(value: Any) -> str:
    """A value as people read it: text as it is, lists with commas, the rest as JSON."""
    match value:
        case None:
            text = ""
        case str():
            text = value
        case [*items] if all(isinstance(item, str | int) for item in items):
            text = ", ".join(map(str, items))
        case _:
            text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
