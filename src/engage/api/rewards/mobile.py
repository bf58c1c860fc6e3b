"""The catalogue of rewards, redemptions, and the member's coupons."""

from typing import Annotated, Any, Final, Literal

import msgspec
from litestar import Controller, Request, get, post
from litestar.params import PathParameter, QueryParameter
from msgspec import Struct

from engage.api.http.answers import Answer, answer
from engage.api.http.batching import BatchedFlow
from engage.api.http.bodies import EmptyRequest, check_query, read_empty, read_json
from engage.api.http.callers import member_idempotency, member_of, members_only
from engage.api.http.idempotency import keyed
from engage.api.http.operation import MEMBER, Repeat, contract
from engage.api.http.pages import PAGE, Cursor, Limit, cut, id_before
from engage.api.http.parameters import NOT_GIVEN
from engage.api.http.problems import language_of
from engage.domain.activity import Identifier, MemberId
from engage.domain.refusals import UseCase
from engage.flows.rewards.catalogue import RewardView, read_catalogue
from engage.flows.rewards.coupons import CouponView, read_coupons
from engage.flows.rewards.pass_on import pass_f_code
from engage.flows.rewards.redeem import Redemption, RewardRequest, redeem
from engage.flows.rewards.waiting import WaitingPlace, wait_for_reward

State = Literal["issued", "applied", "used", "void", "expired", ""]
StateParameter = Annotated[State, QueryParameter(name="state", description="Only coupons in this state.")]


RewardIdParameter = Annotated[str, PathParameter(description="The id of the reward.", max_length=48)]
CodeParameter = Annotated[
    str,
    PathParameter(
        description="The F-code, whose case, spaces and hyphens are ignored.", min_length=1, max_length=64
    ),
]


class RedemptionRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`reward_id`: a reward of the catalogue."""

    reward_id: Identifier


class RewardList(Struct, frozen=True):
    """The whole catalogue. `next_cursor` is always null."""

    items: list[RewardView]
    next_cursor: str | None


class CouponPage(Struct, frozen=True):
    """A page of coupons and F-codes."""

    items: list[CouponView]
    next_cursor: str | None


class PassRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`to_member_id`: another member of the program."""

    to_member_id: MemberId


# Balances stay locked until a whole batch is written. With one batch in flight, each takes more requests and
# none waits for balances that another one has locked.
REDEEM: Final = BatchedFlow(redeem, max_size=64)

_pass = msgspec.json.Decoder(PassRequest)
_redemption = msgspec.json.Decoder(RedemptionRequest)


def _redeemed(redemption: Redemption) -> Answer[Redemption]:
    return answer(redemption, 201)


def _passed(code: CouponView) -> Answer[CouponView]:
    return answer(code)


class RewardController(Controller):
    path = "/v1"
    tags = ("Rewards",)
    security = (MEMBER,)

    @get(
        "/rewards",
        operation_id="listRewards",
        summary="List rewards",
        response_description="The catalogue.",
        opt=contract(UseCase.LIST_REWARDS),
    )
    async def catalogue(self, request: Request[Any, Any, Any]) -> Answer[RewardList]:
        """With the remaining stock of each reward, how many of it the member can still redeem, and the prices
        of campaigns, whose titles are in the language of `Accept-Language`.
        """
        api, member = await member_of(request.scope)
        check_query(request)
        language = language_of(request.scope)
        with members_only():
            rewards = await read_catalogue(
                api.services, member.program_id, member.member_id, language=language
            )
        return answer(RewardList(rewards, None))

    @post(
        "/redemptions",
        status_code=201,
        middleware=(member_idempotency(),),
        operation_id="redeemReward",
        summary="Redeem a reward",
        response_description="The points are spent. The member has the code.",
        opt=contract(UseCase.REDEEM_REWARD, body=RedemptionRequest, repeat=Repeat.KEY),
    )
    async def redeem(self, request: Request[Any, Any, Any]) -> Answer[Redemption]:
        """Points are exchanged for a coupon, which only this member can use, or a transferable F-code."""
        api, member = await member_of(request.scope)
        redemption = await read_json(request, _redemption)
        key = keyed(request.scope, _redeemed)
        wanted = RewardRequest(member.program_id, member.member_id, redemption.reward_id, key)
        with members_only():
            return _redeemed(await api.batchers.submit(REDEEM, wanted))

    @post(
        "/rewards/{reward_id:str}/waiting",
        status_code=202,
        middleware=(member_idempotency(),),
        operation_id="waitReward",
        summary="Wait for a reward",
        response_description="The member's position on the waiting list.",
        opt=contract(UseCase.WAIT_FOR_REWARD, body=EmptyRequest, body_optional=True, repeat=Repeat.HARMLESS),
    )
    async def wait(
        self, request: Request[Any, Any, Any], reward_id: RewardIdParameter
    ) -> Answer[WaitingPlace]:
        """For a reward that is sold out. Who waits already keeps the position. Pieces that are there again
        are kept for the first members of the list, for a day each: `turn_until`.
        """
        api, member = await member_of(request.scope)
        await read_empty(request)
        with members_only():
            place = await wait_for_reward(api.services, member.program_id, member.member_id, reward_id)
        return answer(place, 202)

    @post(
        "/me/f-codes/{code:str}/pass",
        status_code=200,
        middleware=(member_idempotency(),),
        operation_id="passFCode",
        summary="Pass an F-code on",
        response_description="The F-code is the other member's.",
        opt=contract(UseCase.PASS_F_CODE, body=PassRequest, repeat=Repeat.KEY),
    )
    async def pass_on(self, request: Request[Any, Any, Any], code: CodeParameter) -> Answer[CouponView]:
        """Once: who receives it can use it, and not pass it on. Coupons cannot be passed on."""
        api, member = await member_of(request.scope)
        wanted = await read_json(request, _pass)
        with members_only():
            passed = await pass_f_code(
                api.services,
                member.program_id,
                member.member_id,
                code,
                to_member_id=wanted.to_member_id,
                keyed=keyed(request.scope, _passed),
            )
        return _passed(passed)

    @get(
        "/me/coupons",
        operation_id="listCoupons",
        summary="List coupons and F-codes",
        response_description="A page of coupons, newest first.",
        opt=contract(),
    )
    async def coupons(
        self,
        request: Request[Any, Any, Any],
        in_state: StateParameter = NOT_GIVEN,
        cursor: Cursor = "",
        limit: Limit = PAGE,
    ) -> Answer[CouponPage]:
        """Used and expired coupons are included."""
        api, member = await member_of(request.scope)
        check_query(request, "state", "cursor", "limit")
        before = id_before(cursor)
        with members_only():
            coupons = await read_coupons(
                api.services,
                member.program_id,
                member.member_id,
                state=in_state or None,
                before=before,
                limit=limit + 1,
            )
        return answer(CouponPage(*cut(coupons, limit, lambda coupon: coupon.id)))
