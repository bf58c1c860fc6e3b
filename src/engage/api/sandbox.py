"""The sandbox: members made up, and a clock that can be moved. It exists only under `engage up`."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import msgspec
from litestar import Controller, Request, get, post
from litestar.types import Scope
from msgspec import Meta, Struct

from engage.api.answer import Answer, answer
from engage.api.bodies import read_json
from engage.api.context import Api, started_api_of
from engage.api.contract import contract
from engage.api.problems import FieldError, invalid
from engage.domain.activity import MemberId
from engage.domain.calendar import add_months
from engage.domain.document.fields import Country
from engage.domain.refusals import Refusal, UseCase
from engage.flows.members.register import MemberRegistration, register_member
from engage.flows.scheduled.advance_clock import advance_clock
from engage.runtime.services import Services
from engage.sandbox_secrets import SandboxSecrets
from engage.tokens.signing import SANDBOX_LIFETIME, sign

ADULT_YEARS: Final = 30

# The gate counts days in 16 bits, and nobody needs to see what comes after.
LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)


class Sandbox(Struct, frozen=True):
    """`now` is the test clock's time, which every time decision follows."""

    now: datetime
    feed_url: str
    shop_key: str
    admin_key: str


class MadeUpMember(MemberRegistration, frozen=True, kw_only=True):
    """What is left out is made up: a new id, the program's first country, an adult's birth date."""

    member_id: MemberId | None = None  # type: ignore[assignment]  # Filled in before it is a Joining.
    country: Country | None = None  # type: ignore[assignment]  # The same.


class MadeUp(Struct, frozen=True):
    """The token is good for 24 hours of the machine's time, whatever the test clock does."""

    member_id: str
    token: str


class Move(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Either by a duration or to a time."""

    advance: Annotated[timedelta, Meta(description="ISO 8601, such as PT5M or P1D.")] | None = None
    to: Annotated[datetime, Meta(tz=True, description="RFC 3339, such as 2027-01-01T11:00:00Z.")] | None = (
        None
    )


class Moved(Struct, frozen=True):
    now: datetime


_made_up = msgspec.json.Decoder(MadeUpMember)
_move = msgspec.json.Decoder(Move)


class SandboxController(Controller):
    path = "/v1/sandbox"
    tags = ("Sandbox",)
    security = ({},)

    @get(
        operation_id="getSandbox",
        summary="The test clock, the feed, the keys",
        response_description="The sandbox of this installation.",
        opt=contract(),
    )
    async def show(self, request: Request[Any, Any, Any]) -> Answer[Sandbox]:
        """All that one needs to try the rest: a sandbox gives its keys to whoever reaches it."""
        api, known = _open(request.scope)
        now = api.services.clock.now()
        return answer(Sandbox(now, api.services.settings.feed_url, known.shop_key, known.admin_key))

    @post(
        "/members",
        status_code=201,
        operation_id="makeUpMember",
        summary="A member to try things with",
        response_description="They are a member; act as them with the token.",
        opt=contract(UseCase.REGISTER_MEMBER, takes=MadeUpMember),
    )
    async def make_up(self, request: Request[Any, Any, Any]) -> Answer[MadeUp]:
        """Registers an eligible adult, unless told otherwise, and gives a token to act as them."""
        api, known = _open(request.scope)
        registration = _made_up_joining(api.services, await read_json(request, _made_up))
        joined = await register_member(api.services, registration)
        settings = api.services.settings
        token = sign(
            known,
            joined.program,
            joined.member_id,
            SANDBOX_LIFETIME,
            issuer=settings.jwt_issuer,
            audience=settings.jwt_audience,
        )
        return answer(MadeUp(joined.member_id, token), 201)

    @post(
        "/clock",
        status_code=200,
        operation_id="moveClock",
        summary="Move the test clock forward",
        response_description="The time it is then; all work that fell due on the way is done, in order.",
        opt=contract(UseCase.ADVANCE_CLOCK, takes=Move),
    )
    async def move(self, request: Request[Any, Any, Any]) -> Answer[Moved]:
        """By a duration, or to a time. It stops at each due time on the way."""
        api, _ = _open(request.scope)
        asked = await read_json(request, _move)
        if (asked.advance is None) == (asked.to is None):
            raise invalid(FieldError("$", "either `advance` or `to`"))
        now = api.services.clock.now()
        latest = FieldError("advance" if asked.to is None else "to", f"not beyond {LATEST:%Y-%m-%d}")
        if (asked.to or now) > LATEST or (asked.advance or timedelta()) > LATEST - now:
            raise invalid(latest)
        return answer(Moved(await advance_clock(api.services, to=asked.to, by=asked.advance)))


def _open(scope: Scope) -> tuple[Api, SandboxSecrets]:
    api = started_api_of(scope)
    assert api.sandbox is not None, "these routes exist only where there is a sandbox"
    return api, api.sandbox


def _made_up_joining(services: Services, asked: MadeUpMember) -> MemberRegistration:
    """Raises Refusal unknown_program."""
    now = services.clock.now()
    return MemberRegistration(
        member_id=asked.member_id or f"m-{secrets.token_hex(8)}",
        program=asked.program,
        country=asked.country or _first_country(services, asked.program, now),
        birth_date=asked.birth_date or add_months(now.date(), -12 * ADULT_YEARS),
        kind=asked.kind,
        person_ref=asked.person_ref,
        phone=asked.phone,
        card_numbers=asked.card_numbers,
        referral_code=asked.referral_code,
    )


def _first_country(services: Services, program_id: str, now: datetime) -> str:
    """Of the program's newest version in force. Raises Refusal unknown_program."""
    versions = services.programs.known(program_id)
    for version in reversed(versions):
        for country in version.countries:
            try:
                in_force, _ = services.programs.in_force(program_id, at=now, country=country)
            except Refusal:
                continue
            if in_force is version:
                return country
    return next(iter(versions[-1].countries))
