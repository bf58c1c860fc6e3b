"""The rewards of the programs with their stock, and the form that voids a code."""

from typing import Any, Final

from litestar import Controller, get, post
from litestar.response import Response

from engage.console.context import HtmlRequest, Visitor, asked, visitor_of
from engage.console.forms import do_once, read_form
from engage.console.permissions import needs
from engage.console.rendering import page
from engage.domain.operators.roles import Permission
from engage.domain.refusals import Code, Refusal
from engage.domain.rewards.definition import CouponReward
from engage.flows.rewards.coupons import void_coupon
from engage.flows.rewards.stock import StockedReward, list_rewards
from engage.messages.refusals import refusal_message

_OF_THE_CODE: Final = (Code.UNKNOWN_COUPON, Code.COUPON_CLOSED)
_LONGEST_CODE: Final = 64


class RewardController(Controller):
    path = "/rewards"

    @get(opt=needs(Permission.VIEW))
    async def rewards(self, request: HtmlRequest) -> Response[Any]:
        return await _page(request, visitor_of(request))

    @post("/void", status_code=303, opt=needs(Permission.HELP_MEMBERS))
    async def void(self, request: HtmlRequest) -> Response[Any]:
        visitor, form = visitor_of(request), await read_form(request)
        program, code = form.text("program"), form.text("code")[:_LONGEST_CODE]
        try:
            if program not in visitor.programs:
                raise Refusal(Code.UNKNOWN_COUPON, coupon_code=code)
            return await do_once(
                request,
                visitor,
                lambda once: void_coupon(
                    visitor.services, program, code, operator=visitor.identity.name, keyed=once
                ),
                then=lambda _: "/console/rewards?done=rewards.voided",
            )
        except Refusal as refusal:
            if refusal.code not in _OF_THE_CODE:
                raise
            problem = refusal_message(refusal.code, refusal.facts, visitor.language).detail
            typed = {"program": program, "code": code}
            return await _page(request, visitor, typed, problem, status=refusal.status)


async def _page(
    request: HtmlRequest,
    visitor: Visitor,
    typed: dict[str, str] | None = None,
    problem: str = "",
    *,
    status: int = 200,
) -> Response[bytes]:
    program = asked(request, "program")
    programs = [known for known in visitor.programs if program in ("", known)]
    shown = await list_rewards(visitor.services, programs)
    return page(
        request,
        visitor,
        "rewards/list.html",
        status=status,
        rewards=[(each, _kind(each), _state(each)) for each in shown],
        programs=visitor.programs,
        typed=typed or {"program": program, "code": ""},
        problem=problem,
    )


def _kind(stocked: StockedReward) -> str:
    return "coupon" if isinstance(stocked.reward, CouponReward) else "f_code"


def _state(stocked: StockedReward) -> str:
    if not stocked.countries:
        return "later"
    if stocked.reward.suspended:
        return "suspended"
    return "sold_out" if stocked.left == 0 else "offered"
