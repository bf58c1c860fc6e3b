"""Operators void coupons and F-codes."""

from typing import Any

import msgspec
from litestar import Controller, Request, post
from msgspec import Struct

from engage.api.http.answers import Answer, answer
from engage.api.http.bodies import read_json
from engage.api.http.callers import operator_idempotency, operator_of
from engage.api.http.operation import OPERATOR, Repeat, contract
from engage.domain.document.fields import ProgramId
from engage.domain.refusals import UseCase
from engage.domain.rewards.coupon_codes import CouponCode
from engage.flows.rewards.coupons import CouponView, void_coupon


class VoidCouponRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The code as the member has it. Capitals, blanks and hyphens do not matter."""

    program: ProgramId
    code: CouponCode


_void = msgspec.json.Decoder(VoidCouponRequest)


class AdminCouponController(Controller):
    path = "/v1/admin/coupons"
    tags = ("Operators",)
    security = (OPERATOR,)
    middleware = (operator_idempotency(),)

    @post(
        "/void",
        status_code=200,
        operation_id="voidCoupon",
        summary="Void a coupon or an F-code",
        response_description="The code is void.",
        opt=contract(UseCase.VOID_COUPON, body=VoidCouponRequest, repeat=Repeat.HARMLESS),
    )
    async def void(self, request: Request[Any, Any, Any]) -> Answer[CouponView]:
        """The code can no longer be used, and its points are not given back. A coupon that is applied to an
        order is refused until the hold is closed. A code that is void already is answered the same.
        """
        api, key = await operator_of(request.scope)
        coupon = await read_json(request, _void)
        key.check(coupon.program)
        return answer(await void_coupon(api.services, coupon.program, coupon.code, operator=key.name))
