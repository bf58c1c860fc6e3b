"""Finance asks what points are owed, and what a member had, at any instant that has passed."""

from typing import Annotated, Any, Final, Literal

from litestar import Controller, Request, get
from litestar.params import PathParameter, QueryParameter

from engage.api.admin.callers import operator_of
from engage.api.answer import SAFE, Answer, answer
from engage.api.bodies import check_query
from engage.api.contract import OPERATOR, contract
from engage.api.problems import FieldError, invalid
from engage.domain.accounts.liability import LiabilityReport
from engage.domain.accounts.period import InvalidPeriod
from engage.domain.refusals import UseCase
from engage.flows.reports.csv_export import as_csv
from engage.flows.reports.reports import PastMemberBalance, report_balance, report_liability

# A report reads a large ledger several times over; behind a proxy nobody waits longer.
REPORT_S: Final = 60.0

CSV: Final = "text/csv"
CSV_HEADERS: Final = (
    (b"content-type", b"text/csv; charset=utf-8"),
    (b"content-disposition", b'attachment; filename="liability.csv"'),
    (b"cache-control", b"no-store"),
    *SAFE,
)

# Defaults that are no values of their own.
NOW: Final = ""
EVER: Final = ""
ALL: Final = ""
AS_ACCEPTED: Final = ""

At = Annotated[
    str,
    QueryParameter(
        description="An instant that has passed (RFC 3339), all that happened at it included; or a date, for "
        "the end of that day in UTC. Without it, now.",
        max_length=40,
    ),
]
From = Annotated[
    str,
    QueryParameter(
        name="from",
        description="Where the period begins, that instant included; a date is the beginning of its day in "
        "UTC. Without it the period goes back to the beginning.",
        max_length=40,
    ),
]
Program = Annotated[str, QueryParameter(description="Only this program.", max_length=32)]
Format = Annotated[
    Literal["json", "csv", ""],
    QueryParameter(name="format", description="In place of what `Accept` asks for."),
]


class ReportController(Controller):
    path = "/v1/admin"
    tags = ("Operators",)
    security = (OPERATOR,)

    @get(
        "/reports/liability",
        operation_id="getLiability",
        summary="What points are owed to members",
        response_description="What was outstanding, when it ends, and what moved it in the period.",
        opt=contract(UseCase.REPORT_LIABILITY, csv=True),
    )
    async def liability(
        self,
        request: Request[Any, Any, Any],
        at: At = NOW,
        since: From = EVER,
        program: Program = ALL,
        as_format: Format = AS_ACCEPTED,
    ) -> Answer[LiabilityReport]:
        """By program and currency, exact at any past instant: outstanding points are what members can spend
        and what holds keep.

        `from=2026-12-01&at=2026-12-31` is December. As CSV too, a row for each figure.
        """
        api, _ = await operator_of(request.scope)
        check_query(request, "at", "from", "program", "format")
        try:
            found = await report_liability(
                api.services.settings,
                at=at or None,
                since=since or None,
                program_id=program or None,
                clock=api.services.clock,
                timeout_s=REPORT_S,
            )
        except InvalidPeriod as error:
            raise invalid(FieldError(error.field, str(error))) from None
        wanted = request.accept.best_match(["application/json", CSV], default="application/json")
        if as_format == "csv" or (not as_format and wanted == CSV):
            return Answer(as_csv(found).encode(), CSV_HEADERS, 200)
        return answer(found)

    @get(
        "/members/{member_id:str}/balance",
        operation_id="getMemberBalance",
        summary="What a member had at an instant",
        response_description="The balance as it was then.",
        opt=contract(UseCase.REPORT_BALANCE),
    )
    async def balance(
        self,
        request: Request[Any, Any, Any],
        member_id: Annotated[str, PathParameter(description="The member's id, as the shop has it.")],
        at: At = NOW,
        program: Annotated[
            str,
            QueryParameter(
                description="The member's program. It may be left out where no member of another one has "
                "this id.",
                max_length=32,
            ),
        ] = ALL,
    ) -> Answer[PastMemberBalance]:
        """Of who was merged or erased too, as it was."""
        api, _ = await operator_of(request.scope)
        check_query(request, "at", "program")
        try:
            found = await report_balance(
                api.services.settings,
                member_id,
                program_id=program or None,
                at=at or None,
                clock=api.services.clock,
                timeout_s=REPORT_S,
            )
        except InvalidPeriod as error:
            raise invalid(FieldError(error.field, str(error))) from None
        if len(found) > 1:
            listed = ", ".join(one.program for one in found)
            raise invalid(FieldError("program", f"one of {listed}: members of each have this id"))
        return answer(found[0])
