"""Operators see members, correct their points, merge and erase them."""

from typing import Annotated, Any, Final

import msgspec
from litestar import Controller, Request, delete, get, post
from litestar.params import PathParameter, QueryParameter
from msgspec import Struct

from engage.api.admin.callers import once_for_operator, operator_of
from engage.api.answer import Answer, answer
from engage.api.bodies import check_query, read_json
from engage.api.context import Api
from engage.api.contract import OPERATOR, contract
from engage.api.problems import FieldError, invalid
from engage.domain.activity import MemberId
from engage.domain.refusals import UseCase
from engage.flows.members.adjust import AdjustmentRequest, AdjustmentResult, Reason, adjust
from engage.flows.members.erase import erase_member
from engage.flows.members.merge import MergeResult, merge_members
from engage.flows.members.profile import MemberProfile, SeveralPrograms, program_of, read_profile

# A default that is no program of anybody's.
ANY: Final = ""

IdParameter = Annotated[str, PathParameter(description="The member's id, as the shop has it.")]
ProgramParameter = Annotated[
    str,
    QueryParameter(
        description="The member's program. It may be left out where no member of another one has this id.",
        max_length=32,
    ),
]


class Merging(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`into` is the member who stays."""

    into: MemberId
    reason: Reason


class Erased(Struct, frozen=True):
    """Of this member only the id is left, as the owner of entries that nobody can be told from."""

    program: str
    member_id: str


_adjusting = msgspec.json.Decoder(AdjustmentRequest)
_merging = msgspec.json.Decoder(Merging)


class OperatorMemberController(Controller):
    path = "/v1/admin/members/{member_id:str}"
    tags = ("Operators",)
    security = (OPERATOR,)
    middleware = (once_for_operator,)

    @get(
        operation_id="getMember",
        summary="A member",
        response_description="The member as the database has them now.",
        opt=contract(UseCase.READ_MEMBER),
    )
    async def show(
        self, request: Request[Any, Any, Any], member_id: IdParameter, program: ProgramParameter = ANY
    ) -> Answer[MemberProfile]:
        """What they have, their cards, and whether they were merged. Nothing that a caller need not know."""
        api, _ = await operator_of(request.scope)
        check_query(request, "program")
        try:
            return answer(await read_profile(api.services, member_id, program or None))
        except SeveralPrograms:
            raise _which() from None

    @post(
        "/adjustments",
        status_code=201,
        operation_id="adjustPoints",
        summary="Give or take points",
        response_description="The points are given or taken.",
        opt=contract(UseCase.ADJUST_POINTS, takes=AdjustmentRequest, once=True),
    )
    async def adjust(
        self, request: Request[Any, Any, Any], member_id: IdParameter, program: ProgramParameter = ANY
    ) -> Answer[AdjustmentResult]:
        """Once for each `reference`: the same again is answered again, and posts nothing.

        Points that are given can be spent at once, and end as the program's points do; what is owed is paid
        of them first. Points that are taken are the oldest.
        """
        api, key = await operator_of(request.scope)
        check_query(request, "program")
        adjusting = await read_json(request, _adjusting)
        if not adjusting.points:
            raise invalid(FieldError("points", "not 0"))
        program = await _program(api, member_id, program)
        return answer(await adjust(api.services, program, member_id, adjusting, operator=key.id), 201)

    @post(
        "/merge",
        status_code=200,
        operation_id="mergeMembers",
        summary="Merge a member into another one",
        response_description="There is one member now, who has what both had.",
        opt=contract(UseCase.MERGE_MEMBERS, takes=Merging, once=True),
    )
    async def merge(
        self, request: Request[Any, Any, Any], member_id: IdParameter, program: ProgramParameter = ANY
    ) -> Answer[MergeResult]:
        """Two accounts of one person become one. Points keep their dates; what was earned once is not earned
        again; the cards, the tokens and the events of the merged one are the other one's.
        """
        api, key = await operator_of(request.scope)
        check_query(request, "program")
        merging = await read_json(request, _merging)
        program = await _program(api, member_id, program)
        merged = await merge_members(
            api.services, program, member_id, into=merging.into, reason=merging.reason, operator=key.id
        )
        return answer(merged)

    @delete(
        status_code=200,
        operation_id="eraseMember",
        summary="Erase a member",
        response_description="There is no such member any more.",
        opt=contract(UseCase.ERASE_MEMBER),
    )
    async def erase(
        self, request: Request[Any, Any, Any], member_id: IdParameter, program: ProgramParameter = ANY
    ) -> Answer[Erased]:
        """Drops all that is personal, and keeps the ledger whole. Points that are left are forfeited.

        Whoever joins again joins under a new id.
        """
        api, key = await operator_of(request.scope)
        check_query(request, "program")
        program = await _program(api, member_id, program)
        await erase_member(api.services, program, member_id, operator=key.id)
        return answer(Erased(program, member_id))


async def _program(api: Api, member_id: str, program: str) -> str:
    """Raises Refusal unknown_member, or invalid_request where the program has to be said."""
    try:
        return await program_of(api.services, member_id, program or None)
    except SeveralPrograms:
        raise _which() from None


def _which() -> Exception:
    return invalid(FieldError("program", "needed: members of several programs have this id"))
