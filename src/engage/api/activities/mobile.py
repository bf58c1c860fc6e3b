"""Activities in the app: fuel taps, shares, reviews and visits."""

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, TypeVar

import msgspec
from litestar import Controller, Request, post
from litestar.types import Scope
from msgspec import Struct

from engage import tracing
from engage.api.http.answers import Answer, answer
from engage.api.http.batching import BatchedFlow
from engage.api.http.bodies import EmptyRequest, read_empty, read_json
from engage.api.http.callers import as_unauthorized, member_idempotency, member_of, protected_origin
from engage.api.http.context import Api
from engage.api.http.credits import EarnedCredit, earned
from engage.api.http.direct import answered_directly
from engage.api.http.idempotency import keyed
from engage.api.http.operation import MEMBER, Repeat, contract
from engage.api.http.problems import language_of
from engage.domain.activity import AnyActivity, FuelTap, Identifier, Network, Review, Share, Visit
from engage.domain.earning.limits.per_window import LimitView
from engage.domain.earning.streak import StreakView
from engage.domain.identity import Identity, Origin
from engage.domain.refusals import Code, Refusal, UseCase
from engage.flows.activities.activity import MemberActivity, RecordedActivity
from engage.flows.activities.record import record
from engage.messages.why import titles_in
from engage.runtime.idempotency import Keyed
from engage.runtime.services import Services
from engage.signals.traces import Carried

T = TypeVar("T")

TAP: Final = FuelTap()


class ShareRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A share on a social network, or of a product link. With a `share_id` it can be taken back."""

    kind: Literal["social", "link"]
    product_id: Identifier
    network: Network | None = None
    share_id: Identifier | None = None


class ReviewRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A published review that meets the shop's terms."""

    product_id: Identifier
    review_id: Identifier


class VisitRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A visit of a page. Rules name pages by these ids."""

    page: Identifier


class FuelTapResult(Struct, frozen=True):
    """`streak` is null where the program has no streak, `limit` where taps have no limit but the day."""

    credits: list[EarnedCredit]
    streak: StreakView | None
    limit: LimitView | None


class ShareResult(Struct, frozen=True):
    """`limit` is null where the program has none. `repeated`: the share was recorded before; `credits` are
    those that it earned then.
    """

    credits: list[EarnedCredit]
    limit: LimitView | None
    repeated: bool


class ReviewResult(Struct, frozen=True):
    """The credits that the review earned. `limit` is null where reviews have none but the product."""

    credits: list[EarnedCredit]
    limit: LimitView | None


class VisitResult(Struct, frozen=True):
    """The credits that the visit earned. `limit` is null where visits have none but the page, `streak` where
    no days are counted.
    """

    credits: list[EarnedCredit]
    limit: LimitView | None
    streak: StreakView | None


class ActivityRequest(Struct, frozen=True):
    """An activity at the time of its batch. `origin` is None where the program has no velocity rules."""

    program_id: str
    member_id: str
    activity: AnyActivity
    keyed: Keyed[RecordedActivity] | None
    origin: Origin | None


async def _record_now(
    services: Services, requests: list[ActivityRequest]
) -> Sequence[RecordedActivity | Exception]:
    now = services.clock.now()
    activities = [
        MemberActivity(
            request.program_id, request.member_id, request.activity, now, request.keyed, request.origin
        )
        for request in requests
    ]
    return await record(services, activities)


RECORD: Final = BatchedFlow(_record_now, max_size=256, in_flight=2)

_share = msgspec.json.Decoder(ShareRequest)
_review = msgspec.json.Decoder(ReviewRequest)
_visit = msgspec.json.Decoder(VisitRequest)


async def _tap(scope: Scope) -> Answer[FuelTapResult]:
    return await _record(*await member_of(scope), TAP, scope, _tap_result)


class ActivityController(Controller):
    path = "/v1"
    tags = ("Activities",)
    security = (MEMBER,)
    middleware = (member_idempotency(),)

    @post(
        "/fuel/taps",
        status_code=202,
        operation_id="recordFuelTap",
        summary="Record a fuel tap",
        response_description="The tap is recorded. Its points are pending.",
        opt=contract(UseCase.RECORD_FUEL_TAP, body=EmptyRequest, body_optional=True, repeat=Repeat.KEY)
        | answered_directly(_tap),
    )
    async def tap(self, request: Request[Any, Any, Any]) -> Answer[FuelTapResult]:
        """Once a day in the member's time zone. Consecutive days make a streak, which earns a bonus."""
        await member_of(request.scope)
        await read_empty(request)
        return await _tap(request.scope)

    @post(
        "/shares",
        status_code=202,
        operation_id="recordShare",
        summary="Record a share",
        response_description="The share is recorded. Its points are pending.",
        opt=contract(UseCase.RECORD_SHARE, body=ShareRequest, repeat=Repeat.KEY),
    )
    async def share(self, request: Request[Any, Any, Any]) -> Answer[ShareResult]:
        """Each kind of share has its limits. The same `share_id` again earns nothing."""
        api, member = await member_of(request.scope)
        share = await read_json(request, _share)
        return await _record(
            api, member, Share(**msgspec.structs.asdict(share)), request.scope, _share_result
        )

    @post(
        "/reviews",
        status_code=202,
        operation_id="recordReview",
        summary="Record a review",
        response_description="The review is recorded. Its points are pending.",
        opt=contract(UseCase.RECORD_REVIEW, body=ReviewRequest, repeat=Repeat.KEY),
    )
    async def review(self, request: Request[Any, Any, Any]) -> Answer[ReviewResult]:
        """The first review of each product earns points, so often a day or a month as the rules say."""
        api, member = await member_of(request.scope)
        review = await read_json(request, _review)
        return await _record(
            api, member, Review(**msgspec.structs.asdict(review)), request.scope, _review_result
        )

    @post(
        "/visits",
        status_code=202,
        operation_id="recordVisit",
        summary="Record a visit of a page",
        response_description="The visit is recorded. Its points are pending.",
        opt=contract(UseCase.RECORD_VISIT, body=VisitRequest, repeat=Repeat.KEY),
    )
    async def visit(self, request: Request[Any, Any, Any]) -> Answer[VisitResult]:
        """The rules about its page and about all pages pay for a visit, as often as each says."""
        api, member = await member_of(request.scope)
        visit = await read_json(request, _visit)
        return await _record(api, member, Visit(page=visit.page), request.scope, _visit_result)


def _tap_result(recorded: RecordedActivity, credits: list[EarnedCredit]) -> Answer[FuelTapResult]:
    return answer(FuelTapResult(credits, recorded.streak, recorded.limit), 202)


def _share_result(recorded: RecordedActivity, credits: list[EarnedCredit]) -> Answer[ShareResult]:
    return answer(ShareResult(credits, recorded.limit, recorded.repeated), 202)


def _review_result(recorded: RecordedActivity, credits: list[EarnedCredit]) -> Answer[ReviewResult]:
    return answer(ReviewResult(credits, recorded.limit), 202)


def _visit_result(recorded: RecordedActivity, credits: list[EarnedCredit]) -> Answer[VisitResult]:
    return answer(VisitResult(credits, recorded.limit, recorded.streak), 202)


async def _record(
    api: Api,
    member: Identity,
    activity: AnyActivity,
    scope: Scope,
    shape_in: Callable[[RecordedActivity, list[EarnedCredit]], Answer[T]],
) -> Answer[T]:
    """`shape_in` shapes the answer with the credits in words. Raises Refusal."""
    language = language_of(scope)

    def shape(recorded: RecordedActivity) -> Answer[T]:
        title_of = titles_in(language, api.services.campaigns.of(member.program_id))
        return shape_in(recorded, earned(recorded.credits, language, title_of))

    origin = protected_origin(api, scope, member)
    request = ActivityRequest(member.program_id, member.member_id, activity, keyed(scope, shape), origin)
    try:
        recorded = await api.batchers.submit(RECORD, request)
        trace = tracing.traceparent()
        if trace is not None:
            _carry(api, member, recorded, trace)
        return shape(recorded)
    except Refusal as refusal:
        raise await _with_zone(api, member, refusal) from None


def _carry(api: Api, member: Identity, recorded: RecordedActivity, trace: str) -> None:
    """Let the settlement of the credits continue the trace of the request."""
    due = {credit.due_at for credit in recorded.credits if credit.due_at is not None}
    api.services.post_commit.carry(
        [Carried(member.program_id, member.member_id, at, trace) for at in sorted(due)]
    )


async def _with_zone(api: Api, caller: Identity, refusal: Refusal) -> Refusal:
    """Add the member's time zone to a refusal that names a time."""
    if refusal.code not in (Code.ALREADY_TAPPED, Code.LIMIT_REACHED):
        return as_unauthorized(refusal)
    key = (caller.program_id, caller.member_id)
    member = (await api.services.members.find(api.services.db, [key])).get(key)
    if member is None:
        # Erased since the activity was refused.
        return as_unauthorized(Refusal(Code.UNKNOWN_MEMBER))
    now = api.services.clock.now()
    _, market = api.services.programs.in_force(caller.program_id, at=now, country=member.country)
    return Refusal(refusal.code, **refusal.facts, zone=market.zone)
