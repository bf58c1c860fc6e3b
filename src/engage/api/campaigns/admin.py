"""Operators write, read and copy campaigns."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from litestar import Controller, Request, get, post, put
from litestar.params import QueryParameter
from msgspec import Struct, field

from engage.api.http.answers import JSON, Answer, answer, encode
from engage.api.http.bodies import check_query, read_json
from engage.api.http.callers import approver_of, opened_programs, operator_idempotency, operator_of
from engage.api.http.campaign_documents import DOCUMENT_BYTES, etag, if_match, read_document
from engage.api.http.campaign_paths import CampaignIdParameter, ProgramParameter, find
from engage.api.http.idempotency import keyed
from engage.api.http.operation import APPROVER, OPERATOR, Repeat, contract
from engage.api.http.pages import PAGE, Cursor, Limit, cut, name_after, no_cursor
from engage.api.http.parameters import NOT_GIVEN
from engage.api.http.problems import FieldError, invalid, invalid_document
from engage.domain.accounts.period import InvalidPeriod, parse_moment
from engage.domain.campaigns.definition import Campaign, CampaignId
from engage.domain.campaigns.lifecycle import State
from engage.domain.definitions.definition import Moment
from engage.domain.document.errors import DocumentError, Problem, shown
from engage.domain.refusals import UseCase
from engage.flows.campaigns.campaign import WantedState
from engage.flows.campaigns.change import WrittenVersion, change, create, duplicate
from engage.flows.campaigns.overview import CampaignItem, Place, Wanted, list_campaigns
from engage.flows.campaigns.read import CampaignView, show_campaign
from engage.flows.campaigns.report import CampaignReport, report_campaign

ProgramOfList = Annotated[
    str, QueryParameter(name="program", description="Only of this program.", max_length=32)
]
StateParameter = Annotated[
    Literal[WantedState, ""],
    QueryParameter(
        name="state",
        description="Only with a version in this state: the approved, or the newest. `approved` is approved"
        " and not ended, `rejected` a draft that was rejected and not changed since.",
    ),
]
FromParameter = Annotated[
    str,
    QueryParameter(
        name="from",
        description="Only those that end later: a local time as in their documents, an instant (RFC 3339), or"
        " a date, for its beginning in UTC.",
        max_length=40,
    ),
]
UntilParameter = Annotated[
    str,
    QueryParameter(
        name="until",
        description="Only those that begin earlier: a local time as in their documents, an instant (RFC"
        " 3339), or a date, for its end in UTC.",
        max_length=40,
    ),
]
VersionParameter = Annotated[
    int, QueryParameter(name="version", description="A version, or 0 for the newest.", ge=0, le=1_000_000)
]


class CampaignVersion(Struct, frozen=True):
    """A version that was written."""

    id: str
    version: int
    state: State


class CampaignPage(Struct, frozen=True):
    """A page of campaigns."""

    items: list[CampaignItem]
    next_cursor: str | None


class DuplicateRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The id of the copy, and when it begins, if not when the campaign does: its other times are moved with
    that.
    """

    new_id: CampaignId
    from_: Moment | None = field(name="from", default=None)


_duplicate = msgspec.json.Decoder(DuplicateRequest)


class CampaignController(Controller):
    path = "/v1/admin/campaigns"
    tags = ("Campaigns",)
    middleware = (operator_idempotency(DOCUMENT_BYTES),)

    @post(
        status_code=201,
        security=(OPERATOR,),
        operation_id="createCampaign",
        summary="Write a campaign",
        response_description="The draft, with its ETag.",
        opt=contract(UseCase.CREATE_CAMPAIGN, body=Campaign, repeat=Repeat.KEY),
    )
    async def create(self, request: Request[Any, Any, Any]) -> Answer[CampaignVersion]:
        """Problems of the document are listed, all of them."""
        api, key = await operator_of(request.scope)
        campaign = await read_document(api.services, key, request)
        once = keyed(request.scope, _created)
        try:
            return _created(await create(api.services, campaign, operator=key.operator, keyed=once))
        except DocumentError as error:
            raise invalid_document(error.problems) from None

    @get(
        security=(APPROVER,),
        operation_id="listCampaigns",
        summary="List campaigns",
        response_description="A page of campaigns, the latest first.",
        opt=contract(),
    )
    async def campaigns(
        self,
        request: Request[Any, Any, Any],
        program: ProgramOfList = NOT_GIVEN,
        in_state: StateParameter = NOT_GIVEN,
        since: FromParameter = NOT_GIVEN,
        until: UntilParameter = NOT_GIVEN,
        cursor: Cursor = NOT_GIVEN,
        limit: Limit = PAGE,
    ) -> Answer[CampaignPage]:
        """Of the programs that the key opens. Each by the version that was approved last, or its newest."""
        api, key = await approver_of(request.scope)
        check_query(request, "program", "state", "from", "until", "cursor", "limit")
        wanted = Wanted(
            state=in_state or None,
            start=_moment(since, "from", end=False),
            end=_moment(until, "until", end=True),
        )
        programs = opened_programs(api, key, program)
        found = await list_campaigns(api.services, programs, wanted, after=_place(cursor), limit=limit + 1)
        page, next_cursor = cut(found, limit, lambda placed: "/".join(map(str, placed[0])))
        return answer(CampaignPage([item for _, item in page], next_cursor))

    @get(
        "/{campaign_id:str}",
        security=(APPROVER,),
        operation_id="getCampaign",
        summary="Get a campaign",
        response_description="The newest version, or the one that was asked for, with its ETag.",
        opt=contract(UseCase.READ_CAMPAIGN),
    )
    async def campaign(
        self,
        request: Request[Any, Any, Any],
        campaign_id: CampaignIdParameter,
        program: ProgramParameter = NOT_GIVEN,
        version: VersionParameter = 0,
    ) -> Answer[CampaignView]:
        """With all its versions and what was done with them. `live` is what is scheduled or runs."""
        api, key = await approver_of(request.scope)
        check_query(request, "program", "version")
        found = await find(api, key, campaign_id, program)
        view = await show_campaign(api.services, found, version or None)
        headers = [etag(view.version, view.revision), (b"cache-control", b"no-store"), *JSON]
        return Answer(encode(view), headers, 200)

    @get(
        "/{campaign_id:str}/report",
        security=(OPERATOR,),
        operation_id="getCampaignReport",
        summary="Get the report of a campaign",
        response_description="Its grants, its budget, and its effect.",
        opt=contract(UseCase.READ_CAMPAIGN),
    )
    async def report(
        self,
        request: Request[Any, Any, Any],
        campaign_id: CampaignIdParameter,
        program: ProgramParameter = NOT_GIVEN,
    ) -> Answer[CampaignReport]:
        """Of all versions so far, without what was taken back. One that was never approved has granted
        nothing, and has no budget yet.
        """
        api, key = await operator_of(request.scope)
        check_query(request, "program")
        found = await find(api, key, campaign_id, program)
        return answer(await report_campaign(api.services, found))

    @put(
        "/{campaign_id:str}",
        security=(OPERATOR,),
        operation_id="updateCampaign",
        summary="Change a campaign",
        response_description="The changed draft, with its new ETag.",
        opt=contract(UseCase.CHANGE_CAMPAIGN, body=Campaign, if_match=True),
    )
    async def change(
        self, request: Request[Any, Any, Any], campaign_id: CampaignIdParameter
    ) -> Answer[CampaignVersion]:
        """The whole document. A draft is changed in place. Beside anything beyond a draft the next version
        begins, which needs an approval of its own; until then the present one stays in force.
        """
        api, key = await operator_of(request.scope)
        campaign = await read_document(api.services, key, request)
        expected = if_match(request, required=True)
        if campaign.id != campaign_id:
            found = Problem("id", f"{shown(campaign_id)}, as in the path", shown(campaign.id))
            raise invalid_document([found])
        try:
            written = await change(api.services, campaign, expected=expected, operator=key.operator)
        except DocumentError as error:
            raise invalid_document(error.problems) from None
        return _changed(written)

    @post(
        "/{campaign_id:str}/duplicate",
        status_code=200,
        security=(OPERATOR,),
        operation_id="duplicateCampaign",
        summary="Copy a campaign",
        response_description="The draft of the copy, with its ETag.",
        opt=contract(UseCase.DUPLICATE_CAMPAIGN, body=DuplicateRequest, repeat=Repeat.KEY),
    )
    async def duplicate(
        self,
        request: Request[Any, Any, Any],
        campaign_id: CampaignIdParameter,
        program: ProgramParameter = NOT_GIVEN,
    ) -> Answer[CampaignVersion]:
        """The newest document under another id, in the same program. Its rules and definitions get ids of
        their own, and its examples name these.
        """
        api, key = await operator_of(request.scope)
        check_query(request, "program")
        wanted = await read_json(request, _duplicate)
        found = await find(api, key, campaign_id, program)
        once = keyed(request.scope, _changed)
        try:
            copy = await duplicate(
                api.services, found, wanted.new_id, begin=wanted.from_, operator=key.operator, keyed=once
            )
            return _changed(copy)
        except DocumentError as error:
            raise invalid_document(error.problems) from None


def _moment(text: str, field: str, *, end: bool) -> datetime | None:
    """Raises Refusal invalid_request."""
    try:
        return parse_moment(text, field, end=end) if text else None
    except InvalidPeriod as error:
        raise invalid(FieldError(error.field, str(error))) from None


def _place(cursor: str) -> Place | None:
    """Raises Refusal invalid_request."""
    if not cursor:
        return None
    begins, _, key = name_after(cursor).partition("/")
    program_id, _, campaign_id = key.partition("/")
    if not begins.removeprefix("-").isdecimal():
        raise no_cursor()
    return int(begins), program_id, campaign_id


def _changed(written: WrittenVersion) -> Answer[CampaignVersion]:
    return _written(written, 200)


def _created(written: WrittenVersion) -> Answer[CampaignVersion]:
    return _written(written, 201)


def _written(written: WrittenVersion, status: int) -> Answer[CampaignVersion]:
    body = encode(CampaignVersion(written.id, written.version, written.state))
    headers = [etag(written.version, written.revision), (b"cache-control", b"no-store"), *JSON]
    return Answer(body, headers, status)
