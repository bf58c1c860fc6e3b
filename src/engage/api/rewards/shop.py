"""The shop redeems F-codes."""

from typing import Any

import msgspec
from litestar import Controller, Request, post
from msgspec import Struct

from engage.api.http.answers import Answer, answer
from engage.api.http.bodies import read_json
from engage.api.http.callers import shop_idempotency, shop_of
from engage.api.http.operation import SHOP, Repeat, contract
from engage.domain.activity import Identifier
from engage.domain.document.fields import ProgramId
from engage.domain.refusals import UseCase
from engage.domain.rewards.coupon_codes import CouponCode
from engage.flows.rewards.coupons import CouponView, redeem_f_code


class FCodeRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An F-code, and the order with its product."""

    program: ProgramId
    code: CouponCode
    product_id: Identifier
    order_id: Identifier


_f_code = msgspec.json.Decoder(FCodeRequest)


class FCodeController(Controller):
    path = "/v1/shop/f-codes"
    tags = ("Shop",)
    security = (SHOP,)
    middleware = (shop_idempotency(),)

    @post(
        "/use",
        status_code=200,
        operation_id="redeemFCode",
        summary="Redeem an F-code",
        response_description="The code is used.",
        opt=contract(UseCase.REDEEM_F_CODE, body=FCodeRequest, repeat=Repeat.HARMLESS),
    )
    async def redeem(self, request: Request[Any, Any, Any]) -> Answer[CouponView]:
        """Any buyer can redeem the code once, for its product. The same order again is answered the same."""
        api, key = await shop_of(request.scope)
        f_code = await read_json(request, _f_code)
        key.check(f_code.program)
        redeemed = await redeem_f_code(
            api.services, f_code.program, f_code.code, product_id=f_code.product_id, order_id=f_code.order_id
        )
        return answer(redeemed)
