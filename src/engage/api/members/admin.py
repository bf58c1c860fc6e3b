"""Operators see members, adjust their points, merge and erase them."""

from typing import Any

import msgspec
from litestar import Controller, Request, delete, get, post
from msgspec import Struct

from engage.api.http.answers import Answer, answer
from engage.api.http.bodies import check_query, read_json
from engage.api.http.callers import (
    opened_programs,
    operator_idempotency,
    operator_of,
    program_needed,
    program_of_member,
)
from engage.api.http.idempotency import keyed
from engage.api.http.operation import OPERATOR, Repeat, contract
from engage.api.http.parameters import NOT_GIVEN, MemberIdParameter, MemberProgramParameter
from engage.api.http.problems import FieldError, invalid
from engage.domain.activity import MemberId
from engage.domain.refusals import UseCase
from engage.flows.members.adjust import AdjustmentRequest, AdjustmentResult, Reason, adjust
from engage.flows.members.erase import erase_member
from engage.flows.members.merge import MergeResult, merge_members
from engage.flows.members.profile import MemberProfile, SeveralPrograms, read_profile


class MergeRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`into`: the survivor."""

    into: MemberId
    reason: Reason


class ErasureResult(Struct, frozen=True):
    """The erased member. Only the id is left, as the owner of entries."""

    program: str
    member_id: str


_adjustment = msgspec.json.Decoder(AdjustmentRequest)
_merge = msgspec.json.Decoder(MergeRequest)


def _adjusted(result: AdjustmentResult) -> Answer[AdjustmentResult]:
    return answer(result, 201)


class AdminMemberController(Controller):
    path = "/v1/admin/members/{member_id:str}"
    tags = ("Operators",)
    security = (OPERATOR,)
    middleware = (operator_idempotency(),)

    @get(
        operation_id="getMemberProfile",
        summary="Get a member",
        response_description="The member as stored now.",
        opt=contract(UseCase.READ_MEMBER),
    )
    async def profile(
        self,
        request: Request[Any, Any, Any],
        member_id: MemberIdParameter,
        program: MemberProgramParameter = NOT_GIVEN,
    ) -> Answer[MemberProfile]:
        """The balance, the cards, and the survivor of a merger. Nothing more personal than that."""
        api, key = await operator_of(request.scope)
        check_query(request, "program")
        try:
            return answer(await read_profile(api.services, member_id, opened_programs(api, key, program)))
        except SeveralPrograms:
            raise program_needed() from None

    @post(
        "/adjustments",
        status_code=201,
        operation_id="adjustPoints",
        summary="Give or take points",
        response_description="The points are given or taken.",
        opt=contract(UseCase.ADJUST_POINTS, body=AdjustmentRequest, repeat=Repeat.KEY),
    )
    async def adjust(
        self,
        request: Request[Any, Any, Any],
        member_id: MemberIdParameter,
        program: MemberProgramParameter = NOT_GIVEN,
    ) -> Answer[AdjustmentResult]:
        """Once for each `reference`. The same request again is answered the same and posts nothing.

        Given points pay a debt first. The rest is active at once and expires as the program's points do. The
        oldest points are taken first.
        """
        api, key = await operator_of(request.scope)
        check_query(request, "program")
        adjustment = await read_json(request, _adjustment)
        if not adjustment.points:
            raise invalid(FieldError("points", "not 0"))
        program = await program_of_member(api, key, member_id, program)
        adjusted = await adjust(
            api.services,
            program,
            member_id,
            adjustment,
            operator=key.id,
            keyed=keyed(request.scope, _adjusted),
        )
        return _adjusted(adjusted)

    @post(
        "/merge",
        status_code=200,
        operation_id="mergeMembers",
        summary="Merge a member into another one",
        response_description="The survivor has the points and cards of both.",
        opt=contract(UseCase.MERGE_MEMBERS, body=MergeRequest, repeat=Repeat.HARMLESS),
    )
    async def merge(
        self,
        request: Request[Any, Any, Any],
        member_id: MemberIdParameter,
        program: MemberProgramParameter = NOT_GIVEN,
    ) -> Answer[MergeResult]:
        """Points keep their dates. What either has earned once, the survivor cannot earn again. Cards, tokens
        and later events of the merged member are the survivor's.
        """
        api, key = await operator_of(request.scope)
        check_query(request, "program")
        merge = await read_json(request, _merge)
        program = await program_of_member(api, key, member_id, program)
        merged = await merge_members(
            api.services, program, member_id, into=merge.into, reason=merge.reason, operator=key.id
        )
        return answer(merged)

    @delete(
        status_code=200,
        operation_id="eraseMember",
        summary="Erase a member",
        response_description="The member is erased.",
        opt=contract(UseCase.ERASE_MEMBER),
    )
    async def erase(
        self,
        request: Request[Any, Any, Any],
        member_id: MemberIdParameter,
        program: MemberProgramParameter = NOT_GIVEN,
    ) -> Answer[ErasureResult]:
        """Removes everything personal and keeps amounts, times and rules. Remaining points are forfeited.

        A person who joins again needs a new member id.
        """
        api, key = await operator_of(request.scope)
        check_query(request, "program")
        program = await program_of_member(api, key, member_id, program)
        await erase_member(api.services, program, member_id, operator=key.id)
        return answer(ErasureResult(program, member_id))
