"""Pass an F-code on to another member, once. Coupons are for those who redeemed them."""

from msgspec.structs import replace

from engage.domain.refusals import Code, Refusal
from engage.domain.rewards.coupon_state import state_at
from engage.flows.rewards.coupons import CouponView, lock_coupon, views
from engage.runtime.database import transaction
from engage.runtime.idempotency import Keyed, claim, keep
from engage.runtime.services import Services
from engage.store.members.members import lock_open
from engage.store.rewards.coupons import Coupon, pass_coupon


async def pass_f_code(
    services: Services,
    program_id: str,
    member_id: str,
    typed: str,
    *,
    to_member_id: str,
    keyed: Keyed[CouponView] | None = None,
) -> CouponView:
    """Pass an F-code of a member on to another member of the program, who can use it and not pass it on.

    Raises Refusal unknown_member; unknown_recipient where there is no such other member; unknown_coupon for a
    code that is no F-code of the member; already_passed, used; coupon_closed where it has expired or is void;
    request_in_flight; Unavailable.
    """
    now = services.clock.now()
    giver = await services.members.get(services.db, program_id, member_id)
    receivers = await services.members.find(services.db, [(program_id, to_member_id)])
    receiver = receivers.get((program_id, to_member_id))
    if receiver is None or receiver.key == giver.key:
        raise Refusal(Code.UNKNOWN_RECIPIENT, to_member_id=to_member_id)
    async with transaction(services.db) as conn:
        await claim(conn, keyed)
        await lock_open(conn, [giver.key, receiver.key])
        code = await lock_coupon(conn, program_id, typed)
        if code.kind != "f_code" or giver.member_id not in (code.member_id, code.holder_id):
            raise Refusal(Code.UNKNOWN_COUPON, coupon_code=typed)
        state = state_at(code.state, code.expires_at, now)
        _check_passable(code, state)
        passed = replace(code, passed_to=receiver.member_id, passed_at=now)
        await pass_coupon(conn, passed)
        (shown,) = views(services, program_id, [passed], viewer=giver.member_id)
        await keep(conn, keyed, shown)
    return shown


def _check_passable(code: Coupon, state: str) -> None:
    if code.passed_at is not None:
        raise Refusal(Code.ALREADY_PASSED, coupon_code=code.code)
    if state == "used":
        raise Refusal(Code.USED, coupon_code=code.code)
    if state != "issued":
        raise Refusal(Code.COUPON_CLOSED, coupon_code=code.code, state=state)
