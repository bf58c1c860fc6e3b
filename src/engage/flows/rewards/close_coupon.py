"""A code is taken out of use: a coupon or F-code that an operator voids, an F-code that is used."""

from datetime import datetime

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.checkout.offers import state_at
from engage.domain.refusals import Refusal
from engage.domain.rewards.coupon_codes import read_code
from engage.ledger.accounts import lock_balances
from engage.runtime.database import transaction
from engage.runtime.services import Services
from engage.store.rewards.coupons import Coupon, read_by_codes, write_coupons


async def void_coupon(services: Services, program_id: str, typed: str) -> Coupon:
    """It cannot be used any more; voided again, it stays void. Points that it was exchanged for do not come
    back by this. Raises Refusal unknown_coupon or coupon_closed, for one at a checkout too; Unavailable.
    """
    now = services.clock.now()
    async with transaction(services.db) as conn:
        coupon = await _locked(conn, program_id, typed)
        if coupon.state == "void":
            return coupon
        _check_issued(coupon, now)
        voided = replace(coupon, state="void", closed_at=now)
        await write_coupons(conn, [voided])
    return voided


async def use_f_code(
    services: Services, program_id: str, typed: str, *, product_id: str, order_id: str
) -> Coupon:
    """Whoever has the code may buy the product that it is for, once; for the same order again it is the same.

    Raises Refusal unknown_coupon, coupon_closed, or coupon_not_applicable where it is a coupon or for another
    product; Unavailable.
    """
    now = services.clock.now()
    async with transaction(services.db) as conn:
        code = await _locked(conn, program_id, typed)
        if code.kind != "f_code" or code.product_id != product_id:
            reason = "coupon" if code.kind == "coupon" else "excluded_products"
            raise Refusal("coupon_not_applicable", status=422, coupon_code=code.code, reasons=[reason])
        if code.state == "used" and code.order_id == order_id:
            return code
        _check_issued(code, now)
        used = replace(code, state="used", order_id=order_id, closed_at=now)
        await write_coupons(conn, [used])
    return used


async def _locked(conn: AsyncConnection, program_id: str, typed: str) -> Coupon:
    """As it is while its member's balance is locked."""
    code = read_code(typed)
    key = (program_id, code or "")
    found = (await read_by_codes(conn, [key])).get(key)
    if found is None:
        raise Refusal("unknown_coupon", status=404, coupon_code=typed)
    await lock_balances(conn, [(found.program_id, found.member_id)])
    return (await read_by_codes(conn, [key]))[key]


def _check_issued(coupon: Coupon, now: datetime) -> None:
    state = state_at(coupon.state, coupon.expires_at, now)
    if state != "issued":
        raise Refusal("coupon_closed", status=409, coupon_code=coupon.code, state=state)
