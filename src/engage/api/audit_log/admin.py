"""Operators read what operators did."""

from typing import Annotated, Any

from litestar import Controller, Request, get
from litestar.params import QueryParameter
from msgspec import Struct

from engage.api.http.answers import Answer, answer
from engage.api.http.bodies import check_query
from engage.api.http.callers import approver_of, opened_programs
from engage.api.http.operation import APPROVER, contract
from engage.api.http.pages import PAGE, Cursor, Limit, cursor_after, seq_before
from engage.api.http.parameters import NOT_GIVEN
from engage.flows.operations.audit_log import AuditEntryView, read_audit_log

SubjectParameter = Annotated[
    str,
    QueryParameter(
        name="subject",
        description="Only what was done to this: `program:eu-mi-points`, `quiz:spring`, `api_key:1f2e3d4c`.",
        max_length=200,
    ),
]
OperatorParameter = Annotated[
    str,
    QueryParameter(
        name="operator",
        description="Only what was done by this operator or key: `ana@shop.example`, `command line`.",
        max_length=200,
    ),
]
ProgramParameter = Annotated[
    str, QueryParameter(name="program", description="Only entries of this program.", max_length=32)
]


class AuditLogPage(Struct, frozen=True):
    """A page of the audit log."""

    items: list[AuditEntryView]
    next_cursor: str | None


class AuditLogController(Controller):
    path = "/v1/admin/audit-log"
    tags = ("Operators",)
    security = (APPROVER,)

    @get(
        operation_id="listAuditLog",
        summary="List what operators did",
        response_description="A page of entries, newest first.",
        opt=contract(),
    )
    async def entries(
        self,
        request: Request[Any, Any, Any],
        subject: SubjectParameter = NOT_GIVEN,
        operator: OperatorParameter = NOT_GIVEN,
        program: ProgramParameter = NOT_GIVEN,
        cursor: Cursor = "",
        limit: Limit = PAGE,
    ) -> Answer[AuditLogPage]:
        """Each with who, when, what, why, before and after. The database refuses to change or delete one.

        A page of large documents has fewer entries than `limit`. Entries of no single program, such as those
        about API keys, are for keys that open every program.
        """
        api, key = await approver_of(request.scope)
        check_query(request, "subject", "operator", "program", "cursor", "limit")
        whole = key.programs is None and not program
        found, more = await read_audit_log(
            api.services,
            None if whole else opened_programs(api, key, program),
            subject=subject or None,
            operator=operator or None,
            before=seq_before(cursor),
            limit=limit,
        )
        next_cursor = cursor_after(found[-1][0]) if more else None
        return answer(AuditLogPage([entry for _, entry in found], next_cursor))
