"""The shop registers and updates members, and merges two accounts of one member."""

from datetime import datetime
from functools import partial
from typing import Any, Literal

import msgspec
from litestar import Controller, Request, patch, post
from msgspec import Struct

from engage.api.http.answers import Answer, answer
from engage.api.http.bodies import read_json
from engage.api.http.callers import shop_idempotency, shop_of
from engage.api.http.credits import EarnedCredit, earned
from engage.api.http.idempotency import keyed
from engage.api.http.operation import SHOP, Repeat, contract
from engage.api.http.parameters import MemberIdParameter
from engage.api.http.problems import language_of
from engage.domain.activity import MemberId
from engage.domain.document.fields import ProgramId
from engage.domain.refusals import UseCase
from engage.flows.members.adjust import Reason
from engage.flows.members.merge import MergeResult, merge_members
from engage.flows.members.register import MemberRegistration, RegisteredMember, UsedCode, register_member
from engage.flows.members.update import MemberUpdate, UpdatedMember, update_member
from engage.messages.refusals import refusal_message
from engage.messages.why import titles_in
from engage.runtime.campaign_cache import CampaignCache


class MergeCardsRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`into`: the survivor."""

    program: ProgramId
    into: MemberId
    reason: Reason


class ReferralAnswer(Struct, frozen=True, kw_only=True):
    """The referral of a new member who brought a code. A code that cannot be used is `refused`, with the
    `code` of the refusal, such as unknown_code, and its `detail`.
    """

    state: Literal["pending", "flagged", "refused"]
    code: str | None = None
    detail: str | None = None


class Registered(Struct, frozen=True, kw_only=True):
    """The new member, with the credits granted for registering."""

    member_id: str
    program: str
    country: str
    joined_at: datetime
    credits: list[EarnedCredit]
    referral: ReferralAnswer | None


def referral_answer(used: UsedCode | None, language: str) -> ReferralAnswer | None:
    if used is None or used.refusal is None:
        return None if used is None else ReferralAnswer(state=used.state)
    code, facts = used.refusal.code, used.refusal.facts
    detail = refusal_message(code, facts, language).detail
    return ReferralAnswer(state=used.state, code=code, detail=detail)


_registration = msgspec.json.Decoder(MemberRegistration)
_update = msgspec.json.Decoder(MemberUpdate)
_merge = msgspec.json.Decoder(MergeCardsRequest)


def _registered(member: RegisteredMember, language: str, campaigns: CampaignCache) -> Answer[Registered]:
    registered = Registered(
        member_id=member.member_id,
        program=member.program,
        country=member.country,
        joined_at=member.joined_at,
        credits=earned(member.credits, language, titles_in(language, campaigns.of(member.program))),
        referral=referral_answer(member.referral, language),
    )
    return answer(registered, 201)


class MemberController(Controller):
    path = "/v1/shop/members"
    tags = ("Shop",)
    security = (SHOP,)
    middleware = (shop_idempotency(),)

    @post(
        status_code=201,
        operation_id="registerMember",
        summary="Register a member",
        response_description="The member is registered. Points for registering are pending.",
        opt=contract(UseCase.REGISTER_MEMBER, body=MemberRegistration, repeat=Repeat.KEY),
    )
    async def register(self, request: Request[Any, Any, Any]) -> Answer[Registered]:
        """A person or company joins a program if its rules allow it."""
        api, key = await shop_of(request.scope)
        registration = await read_json(request, _registration)
        key.check(registration.program)
        shape = partial(_registered, language=language_of(request.scope), campaigns=api.services.campaigns)
        return shape(await register_member(api.services, registration, keyed=keyed(request.scope, shape)))

    @patch(
        "/{member_id:str}",
        operation_id="updateMember",
        summary="Change the phone number, add cards and take them off",
        response_description="The member's numbers after the change.",
        opt=contract(UseCase.CHANGE_MEMBER, body=MemberUpdate),
    )
    async def update(
        self, request: Request[Any, Any, Any], member_id: MemberIdParameter
    ) -> Answer[UpdatedMember]:
        """Fields that are left out stay as they are. The same change again does nothing.

        A number that is replaced or taken off is free for its next owner. The program sets how long nothing
        is paid out to a new number.
        """
        api, key = await shop_of(request.scope)
        update = await read_json(request, _update)
        key.check(update.program)
        return answer(await update_member(api.services, member_id, update))

    @post(
        "/{member_id:str}/merge",
        status_code=200,
        operation_id="mergeCards",
        summary="Merge two accounts of one member",
        response_description="The survivor has the points and cards of both.",
        opt=contract(UseCase.MERGE_MEMBERS, body=MergeCardsRequest, repeat=Repeat.HARMLESS),
    )
    async def merge(
        self, request: Request[Any, Any, Any], member_id: MemberIdParameter
    ) -> Answer[MergeResult]:
        """The member of the path is merged into the member of `into`. Tokens of the former, and events that
        name it, then count for the latter.
        """
        api, key = await shop_of(request.scope)
        merge = await read_json(request, _merge)
        key.check(merge.program)
        merged = await merge_members(
            api.services, merge.program, member_id, into=merge.into, reason=merge.reason, operator=key.id
        )
        return answer(merged)
