"""Operators see a member's levels, and why they are what they are."""

from typing import Any

from litestar import Controller, Request, get

from engage.api.http.answers import Answer, answer
from engage.api.http.bodies import check_query
from engage.api.http.callers import operator_of, program_of_member
from engage.api.http.operation import OPERATOR, contract
from engage.api.http.parameters import NOT_GIVEN, MemberIdParameter, MemberProgramParameter
from engage.api.http.problems import language_of
from engage.domain.refusals import UseCase
from engage.flows.tiers.reads import MemberTierHistory, read_tier_history


class AdminTierController(Controller):
    path = "/v1/admin/members/{member_id:str}/tiers"
    tags = ("Tiers",)
    security = (OPERATOR,)

    @get(
        operation_id="getMemberTiers",
        summary="Get the levels of a member",
        response_description="The levels, and each change of them with its cause.",
        opt=contract(UseCase.READ_MEMBER),
    )
    async def tiers(
        self,
        request: Request[Any, Any, Any],
        member_id: MemberIdParameter,
        program: MemberProgramParameter = NOT_GIVEN,
    ) -> Answer[MemberTierHistory]:
        """Levels follow from orders and credits by their times: what is reported late is put in its place."""
        api, key = await operator_of(request.scope)
        check_query(request, "program")
        program = await program_of_member(api, key, member_id, program)
        language = language_of(request.scope)
        return answer(await read_tier_history(api.services, program, member_id, language=language))
