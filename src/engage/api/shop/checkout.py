"""The shop's checkout: what could be paid with points and coupons, setting it aside, and how that ends."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Controller, Request, post
from litestar.params import PathParameter
from msgspec import Struct

from engage.api.answer import Answer, answer
from engage.api.bodies import Nothing, read_json, read_nothing
from engage.api.contract import SHOP, contract
from engage.api.shop.callers import once_for_shop, shop_of
from engage.domain.activity import Identifier
from engage.domain.document.fields import ProgramId
from engage.domain.refusals import UseCase
from engage.domain.rewards.coupon_codes import CouponCode
from engage.flows.checkout.close_holds import ClosedHold, HoldClosing, HoldOutcome
from engage.flows.checkout.hold import CheckoutHold, HoldRequest
from engage.flows.checkout.quote import Quote, QuoteRequest, quote
from engage.flows.rewards.coupons import CouponView, redeem_f_code

HoldId = Annotated[UUID, PathParameter(description="The hold's id.")]


class FCodeUse(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The order in which the code's product is bought."""

    program: ProgramId
    code: CouponCode
    product_id: Identifier
    order_id: Identifier


_quote = msgspec.json.Decoder(QuoteRequest)
_hold = msgspec.json.Decoder(HoldRequest)
_use = msgspec.json.Decoder(FCodeUse)


class CheckoutController(Controller):
    path = "/v1/shop/checkout"
    tags = ("Shop",)
    security = (SHOP,)
    middleware = (once_for_shop,)

    @post(
        "/quotes",
        status_code=200,
        operation_id="quoteCheckout",
        summary="What could be paid with points and coupons",
        response_description="What is possible now. It is no promise: only a hold is.",
        opt=contract(UseCase.QUOTE_CHECKOUT, takes=QuoteRequest, once=True),
    )
    async def quote(self, request: Request[Any, Any, Any]) -> Answer[Quote]:
        """The most points for this order, what they are worth, and each coupon that the member has."""
        api = await shop_of(request.scope)
        asked = await read_json(request, _quote)
        return answer(await quote(api.services, asked))

    @post(
        "/holds",
        status_code=201,
        operation_id="holdPoints",
        summary="Set points and coupons aside for an order",
        response_description="They are set aside until the hold is captured, is released, or expires.",
        opt=contract(UseCase.HOLD_POINTS, takes=HoldRequest, once=True),
    )
    async def hold(self, request: Request[Any, Any, Any]) -> Answer[CheckoutHold]:
        """So many points, or as many as can be, and these coupons. Coupons are taken off first.

        An order has one hold at a time. The same request again is answered with the same hold.
        """
        api = await shop_of(request.scope)
        asked = await read_json(request, _hold)
        return answer(await api.holder.submit(asked), 201)

    @post(
        "/holds/{hold_id:uuid}/capture",
        status_code=200,
        operation_id="captureHold",
        summary="The order is paid",
        response_description="The points are spent and the coupons used.",
        opt=contract(UseCase.END_HOLD, takes=Nothing, optional=True, once=True),
    )
    async def capture(self, request: Request[Any, Any, Any], hold_id: HoldId) -> Answer[ClosedHold]:
        """Captured again it is answered the same. Once its time has ended, a hold cannot be captured."""
        return await _end(request, hold_id, "captured")

    @post(
        "/holds/{hold_id:uuid}/release",
        status_code=200,
        operation_id="releaseHold",
        summary="The order is not paid",
        response_description="The points and the coupons are back.",
        opt=contract(UseCase.END_HOLD, takes=Nothing, optional=True, once=True),
    )
    async def release(self, request: Request[Any, Any, Any], hold_id: HoldId) -> Answer[ClosedHold]:
        """Released again it is answered the same; so is a hold whose time has ended."""
        return await _end(request, hold_id, "released")


class FCodeController(Controller):
    path = "/v1/shop/f-codes"
    tags = ("Shop",)
    security = (SHOP,)
    middleware = (once_for_shop,)

    @post(
        "/use",
        status_code=200,
        operation_id="useFCode",
        summary="Buy by the right of an F-code",
        response_description="The code is used.",
        opt=contract(UseCase.REDEEM_F_CODE, takes=FCodeUse, once=True),
    )
    async def use(self, request: Request[Any, Any, Any]) -> Answer[CouponView]:
        """Whoever has the code may use it, once, for its product. For the same order again it is the same."""
        api = await shop_of(request.scope)
        sent = await read_json(request, _use)
        used = await redeem_f_code(
            api.services, sent.program, sent.code, product_id=sent.product_id, order_id=sent.order_id
        )
        return answer(used)


async def _end(request: Request[Any, Any, Any], hold_id: UUID, end: HoldOutcome) -> Answer[ClosedHold]:
    api = await shop_of(request.scope)
    await read_nothing(request)
    return answer(await api.ender.submit(HoldClosing(hold_id, end)))
