"""The shop asks what a member's levels are good for."""

from typing import Any

from litestar import Controller, Request, get

from engage.api.http.answers import Answer, answer
from engage.api.http.bodies import check_query
from engage.api.http.callers import program_of_member, shop_of
from engage.api.http.operation import SHOP, contract
from engage.api.http.parameters import NOT_GIVEN, MemberIdParameter, MemberProgramParameter
from engage.api.http.problems import language_of
from engage.domain.refusals import UseCase
from engage.flows.tiers.reads import MemberBenefits, read_benefits


class BenefitController(Controller):
    path = "/v1/shop/members/{member_id:str}/benefits"
    tags = ("Tiers",)
    security = (SHOP,)

    @get(
        operation_id="getMemberBenefits",
        summary="Get the benefits of a member",
        response_description="The benefits of all levels together, and the levels.",
        opt=contract(UseCase.READ_MEMBER),
    )
    async def benefits(
        self,
        request: Request[Any, Any, Any],
        member_id: MemberIdParameter,
        program: MemberProgramParameter = NOT_GIVEN,
    ) -> Answer[MemberBenefits]:
        """Of each benefit the best of any level; multipliers add up, as the credits of boosts do. Titles are
        in the language of `Accept-Language`.
        """
        api, key = await shop_of(request.scope)
        check_query(request, "program")
        program = await program_of_member(api, key, member_id, program)
        language = language_of(request.scope)
        return answer(await read_benefits(api.services, program, member_id, language=language))
