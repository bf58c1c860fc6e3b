"""An F-code is passed on once, to another member, who has it from then on."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from engage.domain.refusals import Refusal
from engage.flows.members.erase import erase_member
from engage.flows.members.merge import merge_members
from engage.flows.rewards.coupons import CouponView, read_coupons, redeem_f_code, void_coupon
from engage.flows.rewards.pass_on import pass_f_code
from engage.runtime.services import Services
from engage.settings import Settings
from tests.support.audit import assert_audit_is_clean
from tests.support.checkout import (
    SPENDING,
    member_with_points,
    redeem_reward,
    refusal_codes,
    services_with_checkout,
)


@pytest.fixture
async def services(settings: Settings) -> AsyncIterator[Services]:
    async with services_with_checkout(settings) as opened:
        for n in (1, 2, 3):
            await member_with_points(opened, 300, f"m-{n}")
        yield opened
        await assert_audit_is_clean(opened)


async def f_code(services: Services, member_id: str = "m-1") -> str:
    return (await redeem_reward(services, "phone_first", member_id)).issued.code


async def pass_on(services: Services, code: str, to: str = "m-2", by: str = "m-1") -> CouponView:
    return await pass_f_code(services, SPENDING, by, code, to_member_id=to)


async def refused(services: Services, code: str, to: str = "m-2", by: str = "m-1") -> str:
    with pytest.raises(Refusal) as found:
        await pass_on(services, code, to, by)
    return found.value.code


async def listed(services: Services, member_id: str) -> list[tuple[str, str, str | None]]:
    found = await read_coupons(services, SPENDING, member_id, state=None, before=None, limit=10)
    return [(coupon.code, coupon.state, coupon.passed) for coupon in found]


async def test_an_f_code_is_passed_on_once(services: Services) -> None:
    code = await f_code(services)
    passed = await pass_on(services, code.lower().replace("-", " "))
    assert (passed.code, passed.passed, passed.passed_at) == (code, "on", services.clock.now())
    assert await listed(services, "m-2") == [(code, "issued", "received")]
    assert await listed(services, "m-1") == [(code, "issued", "on")]
    assert await refused(services, code) == "already_passed"
    assert await refused(services, code, to="m-3", by="m-2") == "already_passed", "nor does who received it"
    used = await redeem_f_code(services, SPENDING, code, product_id="phone", order_id="o-1")
    assert used.state == "used"
    assert await listed(services, "m-2") == [(code, "used", "received")]


async def test_what_is_not_the_members_f_code_is_unknown(services: Services) -> None:
    code, coupon = await f_code(services), (await redeem_reward(services, "one_euro")).issued.code
    assert await refused(services, code, to="m-2", by="m-3") == "unknown_coupon", "it is another's"
    assert await refused(services, coupon) == "unknown_coupon", "coupons cannot be passed on"
    assert await refused(services, "nothing") == "unknown_coupon"


async def test_an_f_code_goes_to_another_member_only(services: Services) -> None:
    code = await f_code(services)
    assert await refused(services, code, to="m-1") == "unknown_recipient"
    assert await refused(services, code, to="nobody") == "unknown_recipient"


async def test_a_code_that_is_used_or_void_stays(services: Services) -> None:
    used, void = await f_code(services), await f_code(services)
    await redeem_f_code(services, SPENDING, used, product_id="phone", order_id="o-1")
    await void_coupon(services, SPENDING, void, operator="test")
    assert await refused(services, used) == "used"
    assert await refused(services, void) == "coupon_closed"


async def test_of_passes_at_once_one_succeeds(services: Services, settings: Settings) -> None:
    code = await f_code(services)
    async with services_with_checkout(settings, clock=services.clock) as other:
        answers = await asyncio.gather(
            *(pass_on((services, other)[n % 2], code, to=("m-2", "m-3")[n % 2]) for n in range(20)),
            return_exceptions=True,
        )
    assert refusal_codes(answers) == ["already_passed"] * 19
    assert len(await listed(services, "m-2")) + len(await listed(services, "m-3")) == 1


async def test_a_merger_of_either_takes_the_code_along(services: Services) -> None:
    code = await f_code(services)
    await pass_on(services, code)
    await merge_members(services, SPENDING, "m-2", into="m-3", reason="one", operator="key-1")
    assert await listed(services, "m-3") == [(code, "issued", "received")]
    await merge_members(services, SPENDING, "m-1", into="m-3", reason="one", operator="key-1")
    assert await listed(services, "m-3") == [(code, "issued", "received")]


async def test_a_code_dies_with_who_has_it_and_not_with_who_gave_it(services: Services) -> None:
    kept, lost = await f_code(services), await f_code(services, "m-3")
    await pass_on(services, kept)
    await pass_on(services, lost, to="m-1", by="m-3")
    await erase_member(services, SPENDING, "m-1", operator="key-1")
    assert await listed(services, "m-2") == [(kept, "issued", "received")]
    ((code, state, _),) = await listed(services, "m-3")
    assert (code != lost, state) == (True, "void")
