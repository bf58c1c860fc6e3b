"""Operators move campaigns through their life: a call for each action."""

from typing import Annotated, Any, Final

import msgspec
from litestar import Controller, Request, post
from litestar.handlers import HTTPRouteHandler
from msgspec import Meta, Struct

from engage.api.http.answers import Answer, answer
from engage.api.http.bodies import check_query, read_empty, read_json
from engage.api.http.callers import approver_of, operator_idempotency, operator_of
from engage.api.http.campaign_documents import DOCUMENT_BYTES, if_match
from engage.api.http.campaign_paths import CampaignIdParameter, ProgramParameter, find
from engage.api.http.idempotency import keyed
from engage.api.http.operation import APPROVER, OPERATOR, Repeat, contract
from engage.api.http.parameters import NOT_GIVEN
from engage.api.http.problems import invalid_document
from engage.domain.activity import ONE_LINE
from engage.domain.campaigns.lifecycle import ActionKind
from engage.domain.document.errors import DocumentError
from engage.domain.refusals import UseCase
from engage.flows.campaigns.act import ActedVersion, act

Reason = Annotated[
    str, Meta(min_length=1, max_length=500, pattern=ONE_LINE, description="1 to 500 characters on one line")
]


class RejectionRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The changes that the authors have to make. They are kept with the campaign."""

    reason: Reason


_rejection = msgspec.json.Decoder(RejectionRequest)

_EFFECTIVE: Final = "The state once this is in force, which it is in every process within 2 s."


def _action(
    verb: str,
    kind: ActionKind,
    *,
    summary: str,
    description: str,
    response: str = _EFFECTIVE,
    use_case: UseCase = UseCase.MOVE_CAMPAIGN,
) -> HTTPRouteHandler:
    """The call of an action without a body."""

    async def handle(
        self: Controller,
        request: Request[Any, Any, Any],
        campaign_id: CampaignIdParameter,
        program: ProgramParameter = NOT_GIVEN,
    ) -> Answer[ActedVersion]:
        return await _act(request, campaign_id, program, kind)

    handler: HTTPRouteHandler = post(
        f"/{{campaign_id:str}}/{verb}",
        status_code=200,
        security=(APPROVER if kind == "approved" else OPERATOR,),
        operation_id=f"{verb}Campaign",
        summary=summary,
        description=description,
        response_description=response,
        opt=contract(use_case, repeat=Repeat.KEY, may_match=True),
    )(handle)
    return handler


class CampaignActionController(Controller):
    path = "/v1/admin/campaigns"
    tags = ("Campaigns",)
    middleware = (operator_idempotency(DOCUMENT_BYTES),)

    submit = _action(
        "submit",
        "submitted",
        summary="Submit a draft",
        description="The document is validated once more, as the program may have changed. Its examples are"
        " played.",
        response="It waits for an approval.",
        use_case=UseCase.SUBMIT_CAMPAIGN,
    )
    approve = _action(
        "approve",
        "approved",
        summary="Approve a submitted version",
        description="By somebody who did not write it. It replaces the version that is in force, and never"
        " reaches into the past.",
        use_case=UseCase.APPROVE_CAMPAIGN,
    )
    pause = _action(
        "pause",
        "paused",
        summary="Pause a campaign",
        description="It pays nothing for activities while it is paused, whenever they are reported.",
    )
    resume = _action(
        "resume",
        "resumed",
        summary="Resume a paused campaign",
        description="It goes on until its end, which the pause does not move.",
    )
    end = _action(
        "end",
        "ended",
        summary="End a campaign",
        description="For good: a copy of it can begin anew. Where no version was approved, the draft is"
        " withdrawn.",
    )

    @post(
        "/{campaign_id:str}/reject",
        status_code=200,
        security=(APPROVER,),
        operation_id="rejectCampaign",
        summary="Reject a submitted version",
        response_description="It is a draft again.",
        opt=contract(UseCase.MOVE_CAMPAIGN, body=RejectionRequest, repeat=Repeat.KEY, may_match=True),
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
        expected = if_match(request, required=False)
        found = await find(api, key, campaign_id, program)
        acted = await act(
            api.services,
            found,
            "rejected",
            operator=key.operator,
            reason=reason,
            expected=expected,
            keyed=keyed(request.scope, answer),
        )
        return answer(acted)


async def _act(
    request: Request[Any, Any, Any], campaign_id: str, program: str, kind: ActionKind
) -> Answer[ActedVersion]:
    api, key = await (approver_of if kind == "approved" else operator_of)(request.scope)
    check_query(request, "program")
    await read_empty(request)
    expected = if_match(request, required=False)
    found = await find(api, key, campaign_id, program)
    once = keyed(request.scope, answer)
    try:
        return answer(
            await act(api.services, found, kind, operator=key.operator, expected=expected, keyed=once)
        )
    except DocumentError as error:
        raise invalid_document(error.problems) from None
