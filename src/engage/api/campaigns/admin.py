"""Operators write campaigns, approve them, and move them through their life."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from litestar import Controller, Request, get, post, put
from litestar.params import PathParameter, QueryParameter
from msgspec import Meta, Struct, field

from engage.api.http.answers import JSON, Answer, answer, encode
from engage.api.http.bodies import check_query, read_empty, read_json
from engage.api.http.callers import approver_of, opened_programs, operator_idempotency, operator_of
from engage.api.http.campaign_documents import DOCUMENT_BYTES, etag, if_match, read_document
from engage.api.http.context import Api
from engage.api.http.idempotency import keyed
from engage.api.http.operation import APPROVER, OPERATOR, Repeat, contract
from engage.api.http.pages import PAGE, Cursor, Limit, cut, name_after, no_cursor
from engage.api.http.parameters import NOT_GIVEN
from engage.api.http.problems import FieldError, invalid, invalid_document
from engage.domain.accounts.period import InvalidPeriod, parse_moment
from engage.domain.activity import ONE_LINE
from engage.domain.campaigns.definition import Campaign, CampaignId
from engage.domain.campaigns.lifecycle import ActionKind, State
from engage.domain.definitions.definition import Moment
from engage.domain.document.errors import DocumentError, Problem, shown
from engage.domain.refusals import UseCase
from engage.flows.campaigns.act import ActedVersion, act
from engage.flows.campaigns.campaign import WantedState
from engage.flows.campaigns.change import WrittenVersion, change, create, duplicate
from engage.flows.campaigns.overview import CampaignItem, Place, Wanted, list_campaigns
from engage.flows.campaigns.read import CampaignView, SeveralPrograms, find_campaign, show_campaign
from engage.flows.campaigns.report import CampaignReport, report_campaign
from engage.store.api_keys import ApiKey
from engage.store.campaigns.versions import CampaignKey

CampaignIdParameter = Annotated[str, PathParameter(description="The id of the campaign.")]
ProgramParameter = Annotated[
    str,
    QueryParameter(
        name="program",
        description="The campaign's program. Needed only where several programs have this id.",
        max_length=32,
    ),
]
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
Reason = Annotated[
    str, Meta(min_length=1, max_length=500, pattern=ONE_LINE, description="1 to 500 characters on one line")
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


class RejectionRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The changes that the authors have to make. They are kept with the campaign."""

    reason: Reason


class DuplicateRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The id of the copy, and when it begins, if not when the campaign does: its other times are moved with
    that.
    """

    new_id: CampaignId
    from_: Moment | None = field(name="from", default=None)


_rejection = msgspec.json.Decoder(RejectionRequest)
_duplicate = msgspec.json.Decoder(DuplicateRequest)

_EFFECTIVE: Final = "The state once this is in force, which it is in every process within 2 s."


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
        found = await _find(api, key, campaign_id, program)
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
        """Of all versions so far, without what was taken back. One that was never approved has none."""
        api, key = await operator_of(request.scope)
        check_query(request, "program")
        found = await _find(api, key, campaign_id, program)
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
        found = await _find(api, key, campaign_id, program)
        once = keyed(request.scope, _changed)
        try:
            copy = await duplicate(
                api.services, found, wanted.new_id, begin=wanted.from_, operator=key.operator, keyed=once
            )
            return _changed(copy)
        except DocumentError as error:
            raise invalid_document(error.problems) from None

    @post(
        "/{campaign_id:str}/submit",
        status_code=200,
        security=(OPERATOR,),
        operation_id="submitCampaign",
        summary="Submit a draft",
        response_description="It waits for an approval.",
        opt=contract(UseCase.SUBMIT_CAMPAIGN, repeat=Repeat.KEY),
    )
    async def submit(
        self,
        request: Request[Any, Any, Any],
        campaign_id: CampaignIdParameter,
        program: ProgramParameter = NOT_GIVEN,
    ) -> Answer[ActedVersion]:
        """The document is validated once more, as the program may have changed. Its examples are played."""
        return await _act(request, campaign_id, program, "submitted")

    @post(
        "/{campaign_id:str}/approve",
        status_code=200,
        security=(APPROVER,),
        operation_id="approveCampaign",
        summary="Approve a submitted version",
        response_description=_EFFECTIVE,
        opt=contract(UseCase.APPROVE_CAMPAIGN, repeat=Repeat.KEY),
    )
    async def approve(
        self,
        request: Request[Any, Any, Any],
        campaign_id: CampaignIdParameter,
        program: ProgramParameter = NOT_GIVEN,
    ) -> Answer[ActedVersion]:
        """By somebody who did not write it. It replaces the version that is in force, and never reaches into
        the past.
        """
        return await _act(request, campaign_id, program, "approved")

    @post(
        "/{campaign_id:str}/reject",
        status_code=200,
        security=(APPROVER,),
        operation_id="rejectCampaign",
        summary="Reject a submitted version",
        response_description="It is a draft again.",
        opt=contract(UseCase.MOVE_CAMPAIGN, body=RejectionRequest, repeat=Repeat.KEY),
    )
    async def reject(
        self,
        request: Request[Any, Any, Any],
        campaign_id: CampaignIdParameter,
        program: ProgramParameter = NOT_GIVEN,
    ) -> Answer[ActedVersion]:
        """With what its authors have to change."""
        api, key = await approver_of(request.scope)
        check_query(request, "program")
        reason = (await read_json(request, _rejection)).reason
        found = await _find(api, key, campaign_id, program)
        once = keyed(request.scope, answer)
        acted = await act(api.services, found, "rejected", operator=key.operator, reason=reason, keyed=once)
        return answer(acted)

    @post(
        "/{campaign_id:str}/pause",
        status_code=200,
        security=(OPERATOR,),
        operation_id="pauseCampaign",
        summary="Pause a campaign",
        response_description=_EFFECTIVE,
        opt=contract(UseCase.MOVE_CAMPAIGN, repeat=Repeat.KEY),
    )
    async def pause(
        self,
        request: Request[Any, Any, Any],
        campaign_id: CampaignIdParameter,
        program: ProgramParameter = NOT_GIVEN,
    ) -> Answer[ActedVersion]:
        """It pays nothing for activities while it is paused, whenever they are reported."""
        return await _act(request, campaign_id, program, "paused")

    @post(
        "/{campaign_id:str}/resume",
        status_code=200,
        security=(OPERATOR,),
        operation_id="resumeCampaign",
        summary="Resume a paused campaign",
        response_description=_EFFECTIVE,
        opt=contract(UseCase.MOVE_CAMPAIGN, repeat=Repeat.KEY),
    )
    async def resume(
        self,
        request: Request[Any, Any, Any],
        campaign_id: CampaignIdParameter,
        program: ProgramParameter = NOT_GIVEN,
    ) -> Answer[ActedVersion]:
        """It goes on until its end, which the pause does not move."""
        return await _act(request, campaign_id, program, "resumed")

    @post(
        "/{campaign_id:str}/end",
        status_code=200,
        security=(OPERATOR,),
        operation_id="endCampaign",
        summary="End a campaign",
        response_description=_EFFECTIVE,
        opt=contract(UseCase.MOVE_CAMPAIGN, repeat=Repeat.KEY),
    )
    async def end(
        self,
        request: Request[Any, Any, Any],
        campaign_id: CampaignIdParameter,
        program: ProgramParameter = NOT_GIVEN,
    ) -> Answer[ActedVersion]:
        """For good: a copy of it can begin anew. Where no version was approved, the draft is withdrawn."""
        return await _act(request, campaign_id, program, "ended")


async def _act(
    request: Request[Any, Any, Any], campaign_id: str, program: str, kind: ActionKind
) -> Answer[ActedVersion]:
    api, key = await (approver_of if kind == "approved" else operator_of)(request.scope)
    check_query(request, "program")
    await read_empty(request)
    expected = if_match(request, required=False)
    found = await _find(api, key, campaign_id, program)
    once = keyed(request.scope, answer)
    try:
        return answer(
            await act(api.services, found, kind, operator=key.operator, expected=expected, keyed=once)
        )
    except DocumentError as error:
        raise invalid_document(error.problems) from None


async def _find(api: Api, key: ApiKey, campaign_id: str, program: str) -> CampaignKey:
    """Raises Refusal not_found, other_program, or invalid_request where the program is needed."""
    try:
        return await find_campaign(api.services, opened_programs(api, key, program), campaign_id)
    except SeveralPrograms:
        raise invalid(FieldError("program", "needed: campaigns of several programs have this id")) from None


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
