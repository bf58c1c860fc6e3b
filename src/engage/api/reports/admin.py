"""Reports on the liability and on a member's balance, at any past instant."""

from typing import Annotated, Any, Final, Literal

from litestar import Controller, Request, get
from litestar.params import QueryParameter
from msgspec.structs import replace

from engage.api.http.answers import SAFE, Answer, answer
from engage.api.http.bodies import check_query
from engage.api.http.callers import operator_of
from engage.api.http.operation import OPERATOR, contract
from engage.api.http.parameters import NOT_GIVEN, MemberIdParameter, MemberProgramParameter
from engage.api.http.problems import FieldError, invalid
from engage.decoding.weighted import preferred
from engage.domain.accounts.liability import LiabilityReport
from engage.domain.accounts.period import InvalidPeriod
from engage.domain.refusals import Code, Refusal, UseCase
from engage.flows.reports.csv_export import as_csv
from engage.flows.reports.reports import PastMemberBalance, report_balance, report_liability

# A report reads a large ledger several times. Proxies give up after about as long.
REPORT_S: Final = 60.0

JSON_TYPE: Final = "application/json"
CSV: Final = "text/csv"
CSV_HEADERS: Final = (
    (b"content-type", b"text/csv; charset=utf-8"),
    (b"content-disposition", b'attachment; filename="liability.csv"'),
    (b"cache-control", b"no-store"),
    *SAFE,
)

At = Annotated[
    str,
    QueryParameter(
        description="A past instant (RFC 3339), inclusive; or a date, for the end of that day in UTC. The "
        "default is now.",
        max_length=40,
    ),
]
From = Annotated[
    str,
    QueryParameter(
        name="from",
        description="The start of the period, inclusive; a date is the beginning of that day in UTC. Without "
        "it, the period starts with the first entry.",
        max_length=40,
    ),
]
Program = Annotated[str, QueryParameter(description="Only this program.", max_length=32)]
Format = Annotated[
    Literal["json", "csv", ""],
    QueryParameter(name="format", description="Overrides `Accept`."),
]


class ReportController(Controller):
    path = "/v1/admin"
    tags = ("Operators",)
    security = (OPERATOR,)

    @get(
        "/reports/liability",
        operation_id="getLiabilityReport",
        summary="Report the liability",
        response_description="Outstanding points, when they expire, and what changed them in the period.",
        opt=contract(UseCase.REPORT_LIABILITY, csv=True),
    )
    async def liability(
        self,
        request: Request[Any, Any, Any],
        at: At = NOT_GIVEN,
        since: From = NOT_GIVEN,
        program: Program = NOT_GIVEN,
        as_format: Format = NOT_GIVEN,
    ) -> Answer[LiabilityReport]:
        """By program and currency, exact at any past instant. Active and held points are outstanding.

        `from=2026-12-01&at=2026-12-31` is December. CSV has a row for each figure.
        """
        api, key = await operator_of(request.scope)
        check_query(request, "at", "from", "program", "format")
        if program:
            key.check(program)
        try:
            report = await report_liability(
                api.services.settings,
                at=at or None,
                since=since or None,
                program_id=program or None,
                clock=api.services.clock,
                timeout_s=REPORT_S,
            )
        except InvalidPeriod as error:
            raise invalid(FieldError(error.field, str(error))) from None
        report = replace(report, items=[item for item in report.items if key.opens(item.program)])
        wanted = preferred(request.headers.get("accept", ""), [JSON_TYPE, CSV])
        if as_format == "csv" or (not as_format and wanted == CSV):
            return Answer(as_csv(report).encode(), CSV_HEADERS, 200)
        return answer(report)

    @get(
        "/members/{member_id:str}/balance",
        operation_id="getMemberBalance",
        summary="Report a member's balance at an instant",
        response_description="The balance at that instant.",
        opt=contract(UseCase.REPORT_BALANCE),
    )
    async def balance(
        self,
        request: Request[Any, Any, Any],
        member_id: MemberIdParameter,
        at: At = NOT_GIVEN,
        program: MemberProgramParameter = NOT_GIVEN,
    ) -> Answer[PastMemberBalance]:
        """Also for members that have been merged or erased since."""
        api, key = await operator_of(request.scope)
        check_query(request, "at", "program")
        if program:
            key.check(program)
        try:
            balances = await report_balance(
                api.services.settings,
                member_id,
                program_id=program or None,
                at=at or None,
                clock=api.services.clock,
                timeout_s=REPORT_S,
            )
        except InvalidPeriod as error:
            raise invalid(FieldError(error.field, str(error))) from None
        balances = [balance for balance in balances if key.opens(balance.program)]
        if not balances:
            raise Refusal(Code.UNKNOWN_MEMBER)
        if len(balances) > 1:
            programs = ", ".join(balance.program for balance in balances)
            raise invalid(FieldError("program", f"one of {programs}: members of each have this id"))
        return answer(balances[0])
