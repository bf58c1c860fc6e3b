"""The shop's checkout: quotes, and holds of points and coupons."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, TypeVar
from uuid import UUID

import msgspec
from litestar import Controller, Request, post
from litestar.params import PathParameter
from litestar.types import Receive, Scope
from msgspec import Struct
from msgspec.structs import replace

from engage.api.http.answers import Answer, answer
from engage.api.http.batching import BatchedFlow
from engage.api.http.bodies import EmptyRequest, decode, read_body, read_empty, read_json
from engage.api.http.callers import shop_idempotency, shop_of
from engage.api.http.context import Api
from engage.api.http.direct import answered_directly, answered_from_body
from engage.api.http.idempotency import keyed
from engage.api.http.operation import SHOP, Repeat, contract
from engage.domain.refusals import Refusal, UseCase
from engage.flows.checkout.checkout_hold import CheckoutHold
from engage.flows.checkout.close_holds import ClosedHold, HoldClosing, HoldOutcome, close_holds
from engage.flows.checkout.hold import HoldRequest, hold
from engage.flows.checkout.members import find_members
from engage.flows.checkout.quote import Quote, QuoteRequest, quote
from engage.runtime.idempotency import Keyed
from engage.runtime.services import Services
from engage.store.api_keys import ApiKey

Order = TypeVar("Order", bound=QuoteRequest)

HoldId = Annotated[UUID, PathParameter(description="The id of the hold.")]


class OrderToHold(Struct, frozen=True):
    """A hold that is wanted, in a batch."""

    order: HoldRequest
    keyed: Keyed[CheckoutHold] | None


async def _hold_each(services: Services, wanted: list[OrderToHold]) -> Sequence[CheckoutHold | Exception]:
    return await hold(services, [one.order for one in wanted], keyed=[one.keyed for one in wanted])


# Balances stay locked until a whole batch is written. With one batch in flight, each takes more requests and
# none waits for balances that another one has locked.
HOLD: Final = BatchedFlow(_hold_each, max_size=64)
CLOSE: Final = BatchedFlow(close_holds, max_size=64)

_quote = msgspec.json.Decoder(QuoteRequest)
_hold = msgspec.json.Decoder(HoldRequest)


def _held(hold: CheckoutHold) -> Answer[CheckoutHold]:
    return answer(hold, 201)


async def _hold_order(scope: Scope, receive: Receive) -> Answer[CheckoutHold]:
    api, key = await shop_of(scope)
    order = await _in_program(api, key, decode(await read_body(scope, receive), _hold))
    return _held(await api.batchers.submit(HOLD, OrderToHold(order, keyed(scope, _held))))


async def _capture(scope: Scope) -> Answer[ClosedHold]:
    return await _close(scope, UUID(scope["path_params"]["hold_id"]), "captured")


class CheckoutController(Controller):
    path = "/v1/shop/checkout"
    tags = ("Shop",)
    security = (SHOP,)
    middleware = (shop_idempotency(),)

    @post(
        "/quotes",
        status_code=200,
        operation_id="quoteCheckout",
        summary="Quote points and coupons for an order",
        response_description="What is possible now. A quote reserves nothing.",
        opt=contract(UseCase.QUOTE_CHECKOUT, body=QuoteRequest, repeat=Repeat.ANSWERED_ANEW),
    )
    async def quote(self, request: Request[Any, Any, Any]) -> Answer[Quote]:
        """The most points for this order, their worth, and each coupon of the member."""
        api, key = await shop_of(request.scope)
        order = await _in_program(api, key, await read_json(request, _quote))
        return answer(await quote(api.services, order))

    @post(
        "/holds",
        status_code=201,
        operation_id="holdPoints",
        summary="Hold points and coupons for an order",
        response_description="They are held until the hold is captured, released or expired.",
        opt=contract(UseCase.HOLD_POINTS, body=HoldRequest, repeat=Repeat.KEY)
        | answered_from_body(_hold_order),
    )
    async def hold(self, request: Request[Any, Any, Any]) -> Answer[CheckoutHold]:
        """A number of points, or the most possible (`spend_max`), and coupons. Coupons are deducted before
        points.

        An order has one hold at a time. The same request again is answered with the same hold.
        """
        return await _hold_order(request.scope, request.receive)

    @post(
        "/holds/{hold_id:uuid}/capture",
        status_code=200,
        operation_id="captureHold",
        summary="Capture a hold of a paid order",
        response_description="The points are spent and the coupons used.",
        opt=contract(UseCase.END_HOLD, body=EmptyRequest, body_optional=True, repeat=Repeat.HARMLESS)
        | answered_directly(_capture),
    )
    async def capture(self, request: Request[Any, Any, Any], hold_id: HoldId) -> Answer[ClosedHold]:
        """A captured hold is answered the same. An expired hold cannot be captured."""
        await _check_body(request)
        return await _close(request.scope, hold_id, "captured")

    @post(
        "/holds/{hold_id:uuid}/release",
        status_code=200,
        operation_id="releaseHold",
        summary="Release a hold of an order that is not paid",
        response_description="The member has the points and coupons again.",
        opt=contract(UseCase.END_HOLD, body=EmptyRequest, body_optional=True, repeat=Repeat.HARMLESS),
    )
    async def release(self, request: Request[Any, Any, Any], hold_id: HoldId) -> Answer[ClosedHold]:
        """A released or expired hold is answered the same."""
        await _check_body(request)
        return await _close(request.scope, hold_id, "released")


async def _in_program(api: Api, key: ApiKey, order: Order) -> Order:
    """Return the order with a program that the key opens; a key for every program leaves it as it is.

    Raises Refusal other_program, and what `find_members` refuses; Unavailable.
    """
    if order.program is not None:
        key.check(order.program)
    if key.programs is None or order.program is not None:
        return order
    now = api.services.clock.now()
    (member,) = await find_members(api.services, [order], within=key.programs, now=now)
    if isinstance(member, Refusal):
        raise member
    return replace(order, program=member.program_id)


async def _check_body(request: Request[Any, Any, Any]) -> None:
    """Raises Refusal unauthorized or forbidden, before anything is read; invalid_request for a body."""
    await shop_of(request.scope)
    await read_empty(request)


async def _close(scope: Scope, hold_id: UUID, outcome: HoldOutcome) -> Answer[ClosedHold]:
    api, key = await shop_of(scope)
    return answer(await api.batchers.submit(CLOSE, HoldClosing(hold_id, outcome, key.programs)))
