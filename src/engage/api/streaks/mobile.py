"""Freezes for the member's streak."""

from typing import Any

from litestar import Controller, Request, post

from engage.api.http.answers import Answer, answer
from engage.api.http.bodies import EmptyRequest, read_empty
from engage.api.http.callers import member_idempotency, member_of, members_only
from engage.api.http.idempotency import keyed
from engage.api.http.operation import MEMBER, Repeat, contract
from engage.domain.refusals import UseCase
from engage.flows.activities.freezes import BoughtFreeze, buy_freeze


def _bought(freeze: BoughtFreeze) -> Answer[BoughtFreeze]:
    return answer(freeze, 201)


class StreakController(Controller):
    path = "/v1/streak"
    tags = ("Activities",)
    security = (MEMBER,)
    middleware = (member_idempotency(),)

    @post(
        "/freezes",
        status_code=201,
        operation_id="buyFreeze",
        summary="Buy a freeze",
        response_description="The points are spent. The member has one more freeze.",
        opt=contract(UseCase.BUY_FREEZE, body=EmptyRequest, body_optional=True, repeat=Repeat.KEY),
    )
    async def buy(self, request: Request[Any, Any, Any]) -> Answer[BoughtFreeze]:
        """A freeze covers one missed day by itself: the run goes on, and the day does not count.

        The price is in the `offer` of the home screen's streak.
        """
        api, member = await member_of(request.scope)
        await read_empty(request)
        with members_only():
            freeze = await buy_freeze(
                api.services, member.program_id, member.member_id, keyed=keyed(request.scope, _bought)
            )
        return _bought(freeze)
