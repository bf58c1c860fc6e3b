"""Operators take coupons and F-codes out of use."""

from typing import Any

import msgspec
from litestar import Controller, Request, post
from msgspec import Struct

from engage.api.admin.callers import once_for_operator, operator_of
from engage.api.answer import Answer, answer
from engage.api.bodies import read_json
from engage.api.contract import OPERATOR, contract
from engage.domain.document.fields import ProgramId
from engage.domain.refusals import UseCase
from engage.domain.rewards.coupon_codes import CouponCode
from engage.flows.rewards.coupons import CouponView, void_coupon


class Voiding(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The code as the member has it; capitals, blanks and hyphens do not matter."""

    program: ProgramId
    code: CouponCode


_voiding = msgspec.json.Decoder(Voiding)


class CouponController(Controller):
    path = "/v1/admin/coupons"
    tags = ("Operators",)
    security = (OPERATOR,)
    middleware = (once_for_operator,)

    @post(
        "/void",
        status_code=200,
        operation_id="voidCoupon",
        summary="Take a coupon or an F-code out of use",
        response_description="The code is void.",
        opt=contract(UseCase.VOID_COUPON, takes=Voiding, once=True),
    )
    async def void(self, request: Request[Any, Any, Any]) -> Answer[CouponView]:
        """Nobody can use it any more, and the points that it was exchanged for are not given back. One that a
        checkout has applied is refused until that has ended. Again: the same.
        """
        api, _ = await operator_of(request.scope)
        sent = await read_json(request, _voiding)
        return answer(await void_coupon(api.services, sent.program, sent.code))
