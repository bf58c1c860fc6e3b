"""Coupons and F-codes of members: list, void, redeem, expire."""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.money import Money
from engage.domain.refusals import Code, Refusal
from engage.domain.rewards.coupon_codes import read_code
from engage.domain.rewards.coupon_state import state_at
from engage.ledger.accounts import lock_balances
from engage.runtime.database import transaction
from engage.runtime.idempotency import Keyed, claim, keep
from engage.runtime.services import Services
from engage.store import audit_log
from engage.store.audit_log import AuditEntry
from engage.store.rewards.coupons import (
    Coupon,
    CouponState,
    expire_batch,
    list_coupons,
    read_by_codes,
    write_coupons,
)

COUPONS_PER_BATCH = 1_000


class CouponView(Struct, frozen=True):
    """A coupon (`value`) or an F-code (`product_id`). `order_id` is the order that it is applied to or used
    for. `passed`: an F-code that was passed `on` to another member, or `received` from one.
    """

    id: UUID
    code: str
    kind: Literal["coupon", "f_code"]
    reward_id: str
    title: str
    value: Money | None
    product_id: str | None
    points: int
    state: CouponState
    issued_at: datetime
    expires_at: datetime | None
    order_id: str | None
    passed: Literal["on", "received"] | None = None
    passed_at: datetime | None = None


async def read_coupons(
    services: Services,
    program_id: str,
    member_id: str,
    *,
    state: CouponState | None,
    before: UUID | None,
    limit: int,
) -> list[CouponView]:
    """Read a page of the member's coupons and F-codes, newest first: those older than the id `before`.

    Raises Refusal unknown_member; Unavailable.
    """
    member_id = (await services.members.get(services.db, program_id, member_id)).member_id
    async with transaction(services.db) as conn:
        coupons = await list_coupons(
            conn, program_id, member_id, state=state, before=before, limit=limit, now=services.clock.now()
        )
    return views(services, program_id, coupons, viewer=member_id)


async def expire_coupons(services: Services, *, now: datetime, on_time: bool = False) -> int:
    """Expire the coupons that end by `now`, except those of members locked by others; return the count.
    With `on_time` each is closed at its own end, not at `now`. Raises Unavailable.
    """
    total = 0
    while True:
        async with transaction(services.db) as conn:
            ended = await expire_batch(
                conn, now=now, ahead=services.clock.ahead, on_time=on_time, limit=COUPONS_PER_BATCH
            )
        total += ended
        if ended < COUPONS_PER_BATCH:
            return total


async def void_coupon(
    services: Services,
    program_id: str,
    typed: str,
    *,
    operator: str,
    keyed: Keyed[CouponView] | None = None,
) -> CouponView:
    """Void a coupon or an F-code, so that nobody can use it. Repeating it changes nothing. The points are not
    given back.

    Raises Refusal unknown_coupon; coupon_closed, also while a checkout has applied it; request_in_flight;
    Unavailable.
    """
    now = services.clock.now()
    async with transaction(services.db) as conn:
        await claim(conn, keyed)
        coupon = await lock_coupon(conn, program_id, typed)
        if coupon.state != "void":
            _check_issued(coupon, now)
            voided = replace(coupon, state="void", closed_at=now)
            await write_coupons(conn, [voided])
            entry = AuditEntry(
                at=now,
                program_id=program_id,
                operator=operator,
                subject=f"coupon:{coupon.id}",
                action="voided",
                before={"state": coupon.state},
                after={"state": voided.state},
            )
            await audit_log.write(conn, entry)
            coupon = voided
        (voided_view,) = views(services, program_id, [coupon])
        await keep(conn, keyed, voided_view)
    return voided_view


async def redeem_f_code(
    services: Services, program_id: str, typed: str, *, product_id: str, order_id: str
) -> CouponView:
    """Redeem an F-code for its product, once. Repeating it with the same order changes nothing.

    Raises Refusal unknown_coupon, coupon_closed; coupon_not_applicable for a coupon or another product;
    Unavailable.
    """
    now = services.clock.now()
    async with transaction(services.db) as conn:
        code = await lock_coupon(conn, program_id, typed)
        if code.kind != "f_code" or code.product_id != product_id:
            reason = "coupon" if code.kind == "coupon" else "excluded_products"
            raise Refusal(Code.COUPON_NOT_APPLICABLE, coupon_code=code.code, reasons=[reason])
        if code.state != "used" or code.order_id != order_id:
            _check_issued(code, now)
            code = replace(code, state="used", order_id=order_id, closed_at=now)
            await write_coupons(conn, [code])
    return views(services, program_id, [code])[0]


async def lock_coupon(conn: AsyncConnection, program_id: str, typed: str) -> Coupon:
    """Read a coupon under the lock of its member's balance. Raises Refusal unknown_coupon."""
    code = read_code(typed)
    key = (program_id, code or "")
    found = (await read_by_codes(conn, [key])).get(key)
    if found is None:
        raise Refusal(Code.UNKNOWN_COUPON, coupon_code=typed)
    await lock_balances(conn, [(found.program_id, found.member_id)])
    return (await read_by_codes(conn, [key]))[key]


def _check_issued(coupon: Coupon, now: datetime) -> None:
    state = state_at(coupon.state, coupon.expires_at, now)
    if state != "issued":
        raise Refusal(Code.COUPON_CLOSED, coupon_code=coupon.code, state=state)


def view(coupon: Coupon, title: str, *, viewer: str | None = None) -> CouponView:
    """`viewer`: the member who sees it."""
    value = None
    if coupon.value_minor is not None and coupon.currency is not None:
        value = Money(coupon.value_minor, coupon.currency)
    return CouponView(
        coupon.id,
        coupon.code,
        coupon.kind,
        coupon.reward_id,
        title,
        value,
        coupon.product_id,
        coupon.points,
        coupon.state,
        coupon.issued_at,
        coupon.expires_at,
        coupon.order_id,
        _passed(coupon, viewer),
        coupon.passed_at,
    )


def _passed(coupon: Coupon, viewer: str | None) -> Literal["on", "received"] | None:
    if coupon.passed_at is None:
        return None
    return "received" if viewer is not None and viewer == coupon.passed_to else "on"


def views(
    services: Services, program_id: str, coupons: Iterable[Coupon], *, viewer: str | None = None
) -> list[CouponView]:
    """Coupons with the titles that their rewards had when they were issued."""
    titles = {
        (version.version, reward.id): reward.title
        for version in services.programs.versions(program_id)
        for reward in version.rewards
    }
    return [
        view(coupon, titles.get((coupon.program_version, coupon.reward_id), coupon.reward_id), viewer=viewer)
        for coupon in coupons
    ]
