"""Operators try campaigns on the activities of a past window."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Controller, Request, delete, get, post
from litestar.params import PathParameter, QueryParameter
from msgspec import Meta, Struct, field
from msgspec.structs import replace

from engage.api.http.answers import Answer, answer
from engage.api.http.bodies import check_query, mistakes, read_body, read_empty
from engage.api.http.callers import approver_of, opened_programs, operator_idempotency, operator_of
from engage.api.http.campaign_documents import DOCUMENT_BYTES
from engage.api.http.idempotency import keyed
from engage.api.http.operation import APPROVER, OPERATOR, Repeat, contract
from engage.api.http.pages import PAGE, Cursor, Limit, cut, id_before
from engage.api.http.parameters import NOT_GIVEN
from engage.api.http.problems import FieldError, invalid, invalid_document
from engage.decoding.json_text import decode_json
from engage.decoding.malformed import Malformed
from engage.domain.campaigns.definition import Campaign
from engage.domain.document.errors import DocumentError
from engage.domain.refusals import Code, Refusal, UseCase
from engage.flows.backtests.grant import grant_backtest
from engage.flows.backtests.start import (
    BacktestView,
    InvalidWindow,
    StartedBacktest,
    cancel_backtest,
    list_backtests,
    show_backtest,
    start_backtest,
)

DOCUMENT = "document"

BacktestIdParameter = Annotated[UUID, PathParameter(description="The id of the backtest.")]
ProgramParameter = Annotated[
    str, QueryParameter(name="program", description="Only backtests of this program.", max_length=32)
]
CampaignParameter = Annotated[
    str, QueryParameter(name="campaign", description="Only backtests of this campaign.", max_length=48)
]
Time = Annotated[
    datetime,
    Meta(description="a past time: an instant with an offset, or without one local time of the main country"),
]


class BacktestRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A campaign document, and the window of activities to try it on: from a time, until another one."""

    document: Campaign
    from_: Time = field(name="from")
    until: Time


class BacktestPage(Struct, frozen=True):
    """A page of backtests."""

    items: list[BacktestView]
    next_cursor: str | None


_request = msgspec.json.Decoder(BacktestRequest)


class BacktestController(Controller):
    path = "/v1/admin/campaigns/backtests"
    tags = ("Campaigns",)
    middleware = (operator_idempotency(DOCUMENT_BYTES),)

    @post(
        status_code=202,
        security=(OPERATOR,),
        operation_id="startBacktest",
        summary="Try a campaign on the past",
        response_description="Workers do it. The result is kept.",
        opt=contract(UseCase.START_BACKTEST, body=BacktestRequest, repeat=Repeat.KEY),
    )
    async def start(self, request: Request[Any, Any, Any]) -> Answer[StartedBacktest]:
        """The document takes the place of the campaign that has its id, or is added to all others.

        Where its own times overlap the window, they count. Else it is tried as if it had been in force in all
        of the window. Nothing touches a balance.
        """
        api, key = await operator_of(request.scope)
        wanted = _decoded(await read_body(request.scope, request.receive, DOCUMENT_BYTES))
        key.check(wanted.document.program)
        try:
            started = await start_backtest(
                api.services,
                wanted.document,
                begin=wanted.from_,
                until=wanted.until,
                operator=key.name,
                keyed=keyed(request.scope, _started),
            )
        except DocumentError as error:
            problems = [replace(each, path=f"{DOCUMENT}.{each.path}") for each in error.problems]
            raise invalid_document(problems) from None
        except InvalidWindow as error:
            raise invalid(*(FieldError(each.path, each.mistake) for each in error.problems)) from None
        return _started(started)

    @get(
        security=(APPROVER,),
        operation_id="listBacktests",
        summary="List backtests",
        response_description="A page of backtests, newest first.",
        opt=contract(),
    )
    async def backtests(
        self,
        request: Request[Any, Any, Any],
        program: ProgramParameter = NOT_GIVEN,
        campaign: CampaignParameter = NOT_GIVEN,
        cursor: Cursor = "",
        limit: Limit = PAGE,
    ) -> Answer[BacktestPage]:
        """With their results."""
        api, key = await approver_of(request.scope)
        check_query(request, "program", "campaign", "cursor", "limit")
        found = await list_backtests(
            api.services,
            opened_programs(api, key, program),
            campaign_id=campaign or None,
            before=id_before(cursor),
            limit=limit + 1,
        )
        return answer(BacktestPage(*cut(found, limit, lambda backtest: backtest.backtest_id)))

    @get(
        "/{backtest_id:uuid}",
        security=(APPROVER,),
        operation_id="getBacktest",
        summary="Get a backtest",
        response_description="How far it is, and its result once it is done.",
        opt=contract(),
    )
    async def backtest(
        self, request: Request[Any, Any, Any], backtest_id: BacktestIdParameter
    ) -> Answer[BacktestView]:
        """`progress` is the share of members who are done."""
        api, key = await approver_of(request.scope)
        check_query(request)
        found = await show_backtest(api.services, backtest_id)
        key.check(found.program)
        return answer(found)

    @delete(
        "/{backtest_id:uuid}",
        status_code=200,
        security=(OPERATOR,),
        operation_id="cancelBacktest",
        summary="Cancel a backtest",
        response_description="It is cancelled. Workers stop within a batch.",
        opt=contract(UseCase.CANCEL_BACKTEST),
    )
    async def cancel(
        self, request: Request[Any, Any, Any], backtest_id: BacktestIdParameter
    ) -> Answer[BacktestView]:
        """One that was cancelled is answered the same. It stays in the list."""
        api, key = await operator_of(request.scope)
        check_query(request)
        key.check((await show_backtest(api.services, backtest_id)).program)
        return answer(await cancel_backtest(api.services, backtest_id))

    @post(
        "/{backtest_id:uuid}/grant",
        status_code=202,
        security=(APPROVER,),
        operation_id="grantBacktest",
        summary="Grant what the window would have paid",
        response_description="Workers give the points. `grant` says how far they are.",
        opt=contract(UseCase.GRANT_BACKTEST, repeat=Repeat.HARMLESS),
    )
    async def grant(
        self, request: Request[Any, Any, Any], backtest_id: BacktestIdParameter
    ) -> Answer[BacktestView]:
        """Once, and after the approval of the very document that was tried. Each member gets what they would
        have gained, less what was taken back since, as an `adjustment` that names the campaign. Its budget
        counts. Whoever alone started the backtest and approved the document needs another operator for it.
        """
        api, key = await approver_of(request.scope)
        check_query(request)
        await read_empty(request)
        key.check((await show_backtest(api.services, backtest_id)).program)
        await grant_backtest(api.services, backtest_id, operator=key.operator)
        return answer(await show_backtest(api.services, backtest_id), 202)


def _decoded(body: bytes) -> BacktestRequest:
    """Raises Refusal invalid_document where all mistakes are the document's, or else invalid_request."""
    try:
        return decode_json(body, _request)
    except Malformed:
        errors = mistakes(body, BacktestRequest)
    inside = (f"{DOCUMENT}.", f"{DOCUMENT}[")
    if all(error.field.startswith(inside) for error in errors):
        raise Refusal(Code.INVALID_DOCUMENT, errors=errors)
    raise invalid(*errors)


def _started(started: StartedBacktest) -> Answer[StartedBacktest]:
    return answer(started, 202)
