"""What points can be exchanged for, the exchange, and the coupons that came of it."""

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Controller, Request, get, post
from litestar.params import QueryParameter
from msgspec import Struct

from engage.api.answer import Answer, answer
from engage.api.bodies import check_query, read_json
from engage.api.contract import MEMBER, contract
from engage.api.mobile.callers import member_of, members_only, once_for_member
from engage.api.mobile.pages import EVERY, PAGE, Cursor, Limit, cut, id_before
from engage.domain.activity import Identifier
from engage.domain.refusals import UseCase
from engage.flows.rewards.catalogue import RewardView, read_catalogue
from engage.flows.rewards.coupons import CouponView, read_coupons
from engage.flows.rewards.redeem import RewardRequest

State = Literal["issued", "applied", "used", "void", "expired", ""]
StateParameter = Annotated[State, QueryParameter(name="state", description="Only coupons in this state.")]


class RedemptionRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`reward_id` is one of the catalogue."""

    reward_id: Identifier


class RewardList(Struct, frozen=True):
    items: list[RewardView]
    next_cursor: str | None


class CouponPage(Struct, frozen=True):
    items: list[CouponView]
    next_cursor: str | None


class Redemption(Struct, frozen=True, omit_defaults=True):
    """What the points were exchanged for: a coupon, or an F-code."""

    redemption_id: UUID
    points: int
    coupon: CouponView | None = None
    f_code: CouponView | None = None


_redemption = msgspec.json.Decoder(RedemptionRequest)


class RewardController(Controller):
    path = "/v1"
    tags = ("Rewards",)
    security = (MEMBER,)

    @get(
        "/rewards",
        operation_id="listRewards",
        summary="What points can be exchanged for",
        response_description="The whole catalogue.",
        opt=contract(UseCase.LIST_REWARDS),
    )
    async def catalogue(self, request: Request[Any, Any, Any]) -> Answer[RewardList]:
        """With what is left of each reward, and how many of it the member may still have."""
        api, who = member_of(request.scope)
        check_query(request)
        with members_only():
            found = await read_catalogue(api.services, who.program_id, who.member_id)
        return answer(RewardList(found, None))

    @post(
        "/redemptions",
        status_code=201,
        middleware=(once_for_member,),
        operation_id="redeem",
        summary="Exchange points for a reward",
        response_description="The points are spent, and the code is the member's.",
        opt=contract(UseCase.REDEEM_REWARD, takes=RedemptionRequest, once=True),
    )
    async def redeem(self, request: Request[Any, Any, Any]) -> Answer[Redemption]:
        """The code of a coupon is for this member; an F-code may be passed on."""
        api, who = member_of(request.scope)
        sent = await read_json(request, _redemption)
        with members_only():
            made = await api.redeemer.submit(RewardRequest(who.program_id, who.member_id, sent.reward_id))
        if made.coupon.kind == "coupon":
            return answer(Redemption(made.redemption_id, made.points, coupon=made.coupon), 201)
        return answer(Redemption(made.redemption_id, made.points, f_code=made.coupon), 201)

    @get(
        "/me/coupons",
        operation_id="listCoupons",
        summary="Coupons and F-codes, newest first",
        response_description="A page of coupons.",
        opt=contract(),
    )
    async def coupons(
        self,
        request: Request[Any, Any, Any],
        in_state: StateParameter = EVERY,
        cursor: Cursor = "",
        limit: Limit = PAGE,
    ) -> Answer[CouponPage]:
        """Those that were used and have expired are among them."""
        api, who = member_of(request.scope)
        check_query(request, "state", "cursor", "limit")
        before = id_before(cursor)
        with members_only():
            found = await read_coupons(
                api.services,
                who.program_id,
                who.member_id,
                state=in_state or None,
                before=before,
                limit=limit + 1,
            )
        page, next_cursor = cut(found, limit, lambda one: one[0])
        return answer(CouponPage([coupon for _, coupon in page], next_cursor))
