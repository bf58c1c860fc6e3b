"""The liability with its chart, its table as CSV, and a member's balance at an instant."""

from typing import Any, Final
from urllib.parse import urlencode

from litestar import Controller, get
from litestar.response import Redirect, Response
from msgspec.structs import replace

from engage.console.context import HtmlRequest, Visitor, asked, visitor_of
from engage.console.permissions import needs
from engage.console.rendering import HEADERS, page
from engage.domain.accounts.liability import LiabilityReport
from engage.domain.accounts.period import InvalidPeriod
from engage.domain.operators.roles import Permission
from engage.domain.refusals import Code, Refusal
from engage.flows.reports.csv_export import as_csv
from engage.flows.reports.reports import PastMemberBalance, report_balance, report_liability

# As for the API: a report reads a large ledger several times.
REPORT_S: Final = 60.0


class ReportController(Controller):
    path = "/reports"

    @get(opt=needs(Permission.PAY))
    async def reports(self, request: HtmlRequest) -> Response[Any]:
        """The forms, and the liability or the balances that were asked for: nothing is computed unasked."""
        visitor = visitor_of(request)
        report, balances, problems = None, None, {}
        try:
            if asked(request, "show") == "liability":
                report = await _liability(request, visitor)
            elif asked(request, "show") == "balance":
                balances = await _balances(request, visitor)
        except InvalidPeriod as error:
            problems = {error.field: str(error)}
        except Refusal as refusal:
            if refusal.code is not Code.UNKNOWN_MEMBER:
                raise
            balances = []
        names = ("at", "from", "program", "member", "show")
        return page(
            request,
            visitor,
            "reports/reports.html",
            status=422 if problems else 200,
            chosen={name: asked(request, name) for name in names},
            problems=problems,
            programs=visitor.programs,
            report=report,
            balances=balances,
        )

    @get("/liability.csv", opt=needs(Permission.PAY))
    async def table(self, request: HtmlRequest) -> Response[Any]:
        """The table of the page. A mistake is shown there, at its field."""
        try:
            report = await _liability(request, visitor_of(request))
        except InvalidPeriod:
            typed = {name: asked(request, name) for name in ("at", "from", "program")}
            return Redirect(f"/console/reports?{urlencode({'show': 'liability'} | typed)}", status_code=303)
        headers = {**HEADERS, "content-disposition": 'attachment; filename="liability.csv"'}
        return Response(as_csv(report).encode(), media_type="text/csv", headers=headers)


async def _liability(request: HtmlRequest, visitor: Visitor) -> LiabilityReport:
    """The report of the visitor's programs, or of the one asked for.

    Raises InvalidPeriod, NotFoundException, Unavailable.
    """
    services, program = visitor.services, asked(request, "program")
    if program:
        visitor.check_program(program)
    report = await report_liability(
        services.settings,
        at=asked(request, "at") or None,
        since=asked(request, "from") or None,
        program_id=program or None,
        clock=services.clock,
        timeout_s=REPORT_S,
    )
    shown = [item for item in report.items if item.program in visitor.programs]
    return replace(report, items=shown)


async def _balances(request: HtmlRequest, visitor: Visitor) -> list[PastMemberBalance]:
    """The member's balances in the visitor's programs. Raises InvalidPeriod; Refusal unknown_member."""
    services = visitor.services
    found = await report_balance(
        services.settings,
        asked(request, "member"),
        at=asked(request, "at") or None,
        clock=services.clock,
        timeout_s=REPORT_S,
    )
    return [balance for balance in found if balance.program in visitor.programs]
