"""A member invites friends, and uses the code of a friend."""

from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, get, post
from msgspec import Meta, Struct

from engage.api.http.answers import Answer, answer
from engage.api.http.bodies import check_query, read_json
from engage.api.http.callers import member_idempotency, member_of, members_only
from engage.api.http.idempotency import keyed
from engage.api.http.operation import MEMBER, Repeat, contract
from engage.domain.activity import ONE_LINE
from engage.domain.referrals.traits import DeviceId
from engage.domain.refusals import UseCase
from engage.flows.referrals.claim import ClaimedReferral, claim_referral
from engage.flows.referrals.my_referral import read_my_referral


class ReferralRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The code of the member who has invited the caller. Capitals, blanks and hyphens do not matter, and O is
    read as 0, I and L as 1.

    `device_id` names the caller's device, such as the app's installation. It is compared with the advocate's.
    """

    code: Annotated[
        str, Meta(min_length=1, max_length=64, pattern=ONE_LINE, description="1 to 64 characters on one line")
    ]
    device_id: DeviceId | None = None


class MemberReferral(Struct, frozen=True):
    """The member's own code, an address to send to friends, and how many have used it: those that wait for
    their condition or the hold, those that have paid the member, and those that operators look at.
    """

    code: str
    url: str
    invited: int
    pending: int
    rewarded: int
    flagged: int


_claim = msgspec.json.Decoder(ReferralRequest)


def _claimed(referral: ClaimedReferral) -> Answer[ClaimedReferral]:
    return answer(referral, 202)


class ReferralController(Controller):
    path = "/v1"
    tags = ("Referrals",)
    security = (MEMBER,)

    @get(
        "/me/referral",
        operation_id="getReferral",
        summary="Get the member's code to invite friends",
        response_description="The code and what has come of it.",
        opt=contract(UseCase.READ_REFERRALS),
    )
    async def show(self, request: Request[Any, Any, Any]) -> Answer[MemberReferral]:
        """The code is made with the first request, and stays the member's. Without an address in the
        program's document, `url` is the page of this installation.
        """
        api, member = await member_of(request.scope)
        check_query(request)
        with members_only():
            mine = await read_my_referral(api.services, member.program_id, member.member_id)
        url = mine.url or f"{request.base_url}?ref={mine.code}"
        counts = msgspec.structs.asdict(mine.counts)
        return answer(MemberReferral(mine.code, url, **counts))

    @post(
        "/referrals",
        status_code=202,
        middleware=(member_idempotency(),),
        operation_id="createReferral",
        summary="Use a friend's code",
        response_description="The referral is stored. Points follow when its conditions are met.",
        opt=contract(UseCase.CLAIM_REFERRAL, body=ReferralRequest, repeat=Repeat.KEY),
    )
    async def use(self, request: Request[Any, Any, Any]) -> Answer[ClaimedReferral]:
        """Once for a member, soon after joining. A `flagged` referral waits for an operator."""
        api, member = await member_of(request.scope)
        claim = await read_json(request, _claim)
        with members_only():
            claimed = await claim_referral(
                api.services,
                member.program_id,
                member.member_id,
                claim.code,
                device_id=claim.device_id,
                keyed=keyed(request.scope, _claimed),
            )
        return _claimed(claimed)
