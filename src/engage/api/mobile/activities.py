"""What a member does in the app, and what it earns: taps, shares, reviews."""

from typing import Any, Literal

import msgspec
from litestar import Controller, Request, post
from litestar.types import ASGIApp, Receive, Scope, Send
from msgspec import Struct

from engage.api.answer import Answer, answer
from engage.api.bodies import Nothing, has_body, read_json, read_nothing
from engage.api.context import Api, Deed
from engage.api.contract import MEMBER, contract
from engage.api.mobile.callers import as_unauthorized, member_of, once_for_member
from engage.domain.activity import AnyActivity, FuelTap, Identifier, Network, Review, Share
from engage.domain.earning.streak import StreakView
from engage.domain.refusals import Code, Refusal, UseCase
from engage.flows.activities.activity import CreditView, LimitView, RecordedActivity
from engage.tokens.verifier import Identity


class ShareRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A share on a social network, or of a product link. `share_id` is the shop's own, to take it back by."""

    kind: Literal["social", "link"]
    product_id: Identifier
    network: Network | None = None
    share_id: Identifier | None = None


class ReviewRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A published review that keeps the shop's review terms."""

    product_id: Identifier
    review_id: Identifier


class Tapped(Struct, frozen=True):
    """`streak` is null where the program counts no days in a row."""

    credits: list[CreditView]
    streak: StreakView | None


class Shared(Struct, frozen=True):
    """`repeated` is true where this share had been recorded before: its credits are shown, none is added."""

    credits: list[CreditView]
    limit: LimitView | None  # Null where the program sets none.
    repeated: bool


class Reviewed(Struct, frozen=True):
    credits: list[CreditView]


_share = msgspec.json.Decoder(ShareRequest)
_review = msgspec.json.Decoder(ReviewRequest)


TAP = FuelTap()


def straight(app: ASGIApp) -> ASGIApp:
    """Middleware that answers a tap without a body, as taps are, by itself. Making a Request of it first, and
    an answer of what the handler returns, would take as long as all the rest.
    """

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        if has_body(scope):
            await app(scope, receive, send)
        else:
            await (await _tap(*member_of(scope))).send(scope, receive, send)

    return middleware


class ActivityController(Controller):
    path = "/v1"
    tags = ("Activities",)
    security = (MEMBER,)
    middleware = (once_for_member,)

    @post(
        "/fuel/taps",
        status_code=202,
        middleware=(straight,),
        operation_id="tapFuel",
        summary="Touch the fuel button",
        response_description="The tap counts, whatever happens now; its points are pending.",
        opt=contract(UseCase.RECORD_FUEL_TAP, takes=Nothing, optional=True, once=True),
    )
    async def tap(self, request: Request[Any, Any, Any]) -> Answer[Tapped]:
        """Once a day, in the member's own zone. Days in a row make a streak, which pays a bonus."""
        api, who = member_of(request.scope)
        await read_nothing(request)
        return await _tap(api, who)

    @post(
        "/shares",
        status_code=202,
        operation_id="share",
        summary="Share a product",
        response_description="The share counts; its points are pending.",
        opt=contract(UseCase.RECORD_SHARE, takes=ShareRequest, once=True),
    )
    async def share(self, request: Request[Any, Any, Any]) -> Answer[Shared]:
        """Each kind of share pays so many times a month. A `share_id` that is known already adds nothing."""
        api, who = member_of(request.scope)
        sent = await read_json(request, _share)
        recorded = await _record(api, who, Share(**msgspec.structs.asdict(sent)))
        return answer(Shared(recorded.credits, recorded.limit, recorded.repeated), 202)

    @post(
        "/reviews",
        status_code=202,
        operation_id="review",
        summary="Review a product",
        response_description="The review counts; its points are pending.",
        opt=contract(UseCase.RECORD_REVIEW, takes=ReviewRequest, once=True),
    )
    async def review(self, request: Request[Any, Any, Any]) -> Answer[Reviewed]:
        """The member's first review of each product pays."""
        api, who = member_of(request.scope)
        sent = await read_json(request, _review)
        recorded = await _record(api, who, Review(**msgspec.structs.asdict(sent)))
        return answer(Reviewed(recorded.credits), 202)


async def _tap(api: Api, who: Identity) -> Answer[Tapped]:
    recorded = await _record(api, who, TAP)
    return answer(Tapped(recorded.credits, recorded.streak), 202)


async def _record(api: Api, who: Identity, activity: AnyActivity) -> RecordedActivity:
    """Raises Refusal: what the rules say, or unauthorized."""
    try:
        return await api.recorder.submit(Deed(who.program_id, who.member_id, activity))
    except Refusal as refusal:
        raise await _as_told(api, who, refusal) from None


async def _as_told(api: Api, who: Identity, refusal: Refusal) -> Refusal:
    """The refusal as its member is told it: when to come again, in the zone that they live in."""
    if refusal.code not in (Code.ALREADY_TAPPED, Code.LIMIT_REACHED):
        return as_unauthorized(refusal)
    key = (who.program_id, who.member_id)
    member = (await api.services.members.find(api.services.db, [key]))[key]
    now = api.services.clock.now()
    _, market = api.services.programs.in_force(who.program_id, at=now, country=member.country)
    return Refusal(refusal.code, **refusal.facts, zone=market.zone)
