"""Operators see referrals, and approve or reject those that wait."""

from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from litestar import Controller, Request, get, post
from litestar.params import PathParameter, QueryParameter
from msgspec import Meta, Struct

from engage.api.http.answers import Answer, answer
from engage.api.http.bodies import check_query, decode, read_body
from engage.api.http.callers import opened_programs, operator_idempotency, operator_of
from engage.api.http.operation import OPERATOR, Repeat, contract
from engage.api.http.pages import PAGE, Cursor, Limit, cut, id_before
from engage.api.http.parameters import NOT_GIVEN
from engage.domain.identity import Operator
from engage.domain.refusals import UseCase
from engage.flows.referrals.queue import ReferralView, decide_referral, read_one, read_queue, view

ReferralIdParameter = Annotated[UUID, PathParameter(description="The id of the referral.")]
StateParameter = Annotated[
    Literal["pending", "flagged", "approved", "rejected", ""],
    QueryParameter(name="state", description="Only referrals in this state."),
]
ProgramParameter = Annotated[
    str,
    QueryParameter(
        description="Only referrals of this program; else of all that the key opens.", max_length=32
    ),
]


class ReferralDecisionRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`reason` is kept with the referral."""

    reason: Annotated[str, Meta(min_length=1, max_length=500)] | None = None


class ReferralPage(Struct, frozen=True):
    """A page of referrals."""

    items: list[ReferralView]
    next_cursor: str | None


_decision = msgspec.json.Decoder(ReferralDecisionRequest)
_NO_REASON: Final = ReferralDecisionRequest()


class AdminReferralController(Controller):
    path = "/v1/admin/referrals"
    tags = ("Referrals",)
    security = (OPERATOR,)
    middleware = (operator_idempotency(),)

    @get(
        operation_id="listReferrals",
        summary="List referrals",
        response_description="A page of referrals, newest first.",
        opt=contract(UseCase.DECIDE_REFERRAL),
    )
    async def queue(
        self,
        request: Request[Any, Any, Any],
        in_state: StateParameter = NOT_GIVEN,
        program: ProgramParameter = NOT_GIVEN,
        cursor: Cursor = "",
        limit: Limit = PAGE,
    ) -> Answer[ReferralPage]:
        """Those in the state `flagged` wait for a decision."""
        api, key = await operator_of(request.scope)
        check_query(request, "state", "program", "cursor", "limit")
        found = await read_queue(
            api.services,
            opened_programs(api, key, program),
            state=in_state or None,
            before=id_before(cursor),
            limit=limit + 1,
        )
        return answer(ReferralPage(*cut(found, limit, lambda referral: referral.id)))

    @get(
        "/{referral_id:uuid}",
        operation_id="getMemberReferral",
        summary="Get a referral",
        response_description="The referral as it is now.",
        opt=contract(),
    )
    async def show(
        self, request: Request[Any, Any, Any], referral_id: ReferralIdParameter
    ) -> Answer[ReferralView]:
        """With what has come of it for either side."""
        api, key = await operator_of(request.scope)
        check_query(request)
        referral = await read_one(api.services, referral_id)
        key.check(referral.program)
        return answer(referral)

    @post(
        "/{referral_id:uuid}/approve",
        status_code=200,
        operation_id="approveReferral",
        summary="Approve a referral",
        response_description="The referral is approved.",
        opt=contract(
            UseCase.DECIDE_REFERRAL, body=ReferralDecisionRequest, body_optional=True, repeat=Repeat.HARMLESS
        ),
    )
    async def approve(
        self, request: Request[Any, Any, Any], referral_id: ReferralIdParameter
    ) -> Answer[ReferralView]:
        """The hold ends: what its conditions have earned is paid now, and the rest as soon as they are met.
        An approved referral is answered the same.
        """
        return await _decide(request, referral_id, "approve")

    @post(
        "/{referral_id:uuid}/reject",
        status_code=200,
        operation_id="rejectReferral",
        summary="Reject a referral",
        response_description="The referral is rejected.",
        opt=contract(
            UseCase.DECIDE_REFERRAL, body=ReferralDecisionRequest, body_optional=True, repeat=Repeat.HARMLESS
        ),
    )
    async def reject(
        self, request: Request[Any, Any, Any], referral_id: ReferralIdParameter
    ) -> Answer[ReferralView]:
        """Nothing is paid, and the friend cannot be invited again. A rejected referral is answered the
        same.
        """
        return await _decide(request, referral_id, "reject")


async def _decide(
    request: Request[Any, Any, Any], referral_id: UUID, decision: Literal["approve", "reject"]
) -> Answer[ReferralView]:
    api, key = await operator_of(request.scope)
    body = await read_body(request.scope, request.receive)
    wanted = decode(body, _decision) if body else _NO_REASON
    key.check((await read_one(api.services, referral_id)).program)
    operator = Operator(key.id, key.name)
    decided = await decide_referral(
        api.services, referral_id, decision, operator=operator, reason=wanted.reason
    )
    return answer(await view(api.services, decided))
