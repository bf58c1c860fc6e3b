"""The sandbox of `engage up`: test members and a clock that can be advanced."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import Annotated, Any, Final

import msgspec
from litestar import Controller, Request, get, post
from litestar.types import Scope
from msgspec import Meta, Struct

from engage.api.http.answers import Answer, answer
from engage.api.http.bodies import read_json
from engage.api.http.context import Api, started_api_of
from engage.api.http.loopback import loopback_only
from engage.api.http.operation import contract
from engage.api.http.problems import FieldError, invalid, language_of
from engage.api.members.shop import ReferralAnswer, referral_answer
from engage.domain.activity import MemberId
from engage.domain.calendar import add_months
from engage.domain.document.fields import Country, ProgramId
from engage.domain.program import versions
from engage.domain.program.program import Program
from engage.domain.refusals import Unavailable, UseCase
from engage.flows.members.register import MemberRegistration, register_member
from engage.flows.scheduled.advance_clock import advance_clock
from engage.runtime.background import REFRESH_S
from engage.runtime.liveness import API
from engage.runtime.services import Services
from engage.sandbox_secrets import ConsoleAccount, SandboxSecrets
from engage.tokens.signing import SANDBOX_LIFETIME, sign
from engage.tokens.verifier import DEVICE_LENGTH

ADULT_YEARS: Final = 30

# Each process reads the clock anew at least as often.
FOLLOWED_S: Final = REFRESH_S + 0.5

# The gate counts days in 16 bits.
LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)


class SandboxProgram(Struct, frozen=True):
    """A program, and the countries in which it is in force now."""

    id: str
    title: str
    countries: list[str]


class Sandbox(Struct, frozen=True):
    """`now`: the time of the test clock, which every time decision follows. The keys are for the shop's and
    the operators' calls; with the approver's, a campaign of the operator can be approved. With the accounts
    operators sign in to the console.
    """

    now: datetime
    feed_url: str
    shop_key: str
    admin_key: str
    approver_key: str
    console: list[ConsoleAccount]
    programs: list[SandboxProgram]


TokenDevice = Annotated[
    str,
    Meta(
        min_length=1, max_length=DEVICE_LENGTH, description="the token's claim `device`: an opaque identifier"
    ),
]


class SandboxMemberRequest(MemberRegistration, frozen=True, kw_only=True):
    """Defaults: a new id, the program's first country, the birth date of an adult, a new person reference."""

    member_id: MemberId | None = None  # type: ignore[assignment]  # Filled in before it is registered.
    country: Country | None = None  # type: ignore[assignment]  # The same.
    device: TokenDevice | None = None
    device_attested: bool = False


class SandboxMember(Struct, frozen=True):
    """The token is valid for 24 hours of the machine's time, whatever the test clock does."""

    member_id: str
    token: str
    referral: ReferralAnswer | None


class SandboxTokenRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A member, by program and id, and the device that the token should name."""

    program: ProgramId
    member_id: MemberId
    device: TokenDevice | None = None
    device_attested: bool = False


class SandboxToken(Struct, frozen=True):
    """The token is valid for 24 hours of the machine's time, whatever the test clock does."""

    token: str


class ClockRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Either a duration or a time."""

    advance: Annotated[timedelta, Meta(description="a duration (ISO 8601), such as PT5M or P1D")] | None = (
        None
    )
    to: (
        Annotated[
            datetime,
            Meta(tz=True, description="a time with its zone (RFC 3339), such as 2027-01-01T11:00:00Z"),
        ]
        | None
    ) = None


class ClockTime(Struct, frozen=True):
    """The time of the test clock."""

    now: datetime


_member = msgspec.json.Decoder(SandboxMemberRequest)
_token_request = msgspec.json.Decoder(SandboxTokenRequest)
_clock = msgspec.json.Decoder(ClockRequest)


class SandboxController(Controller):
    path = "/v1/sandbox"
    tags = ("Sandbox",)
    security = ({},)
    guards = (loopback_only,)

    @get(
        operation_id="getSandbox",
        summary="Get the test clock and the keys",
        response_description="The sandbox of this installation.",
        opt=contract(),
    )
    async def show(self, request: Request[Any, Any, Any]) -> Answer[Sandbox]:
        """Everything a client needs to try the API. A sandbox gives its keys to every caller."""
        api, secrets = _open(request.scope)
        now = api.services.clock.now()
        feed_url = api.services.settings.feed_url
        programs = _programs(api.services, now)
        keys = secrets.shop_key, secrets.admin_key, secrets.approver_key
        return answer(Sandbox(now, feed_url, *keys, secrets.console, programs))

    @post(
        "/members",
        status_code=201,
        operation_id="createSandboxMember",
        summary="Create a test member",
        response_description="The member is registered. Send the token to act as this member.",
        opt=contract(UseCase.REGISTER_MEMBER, body=SandboxMemberRequest),
    )
    async def create_member(self, request: Request[Any, Any, Any]) -> Answer[SandboxMember]:
        """Registers an eligible adult by default, and issues a token."""
        api, secrets = _open(request.scope)
        wanted = await read_json(request, _member)
        registration = _registration(api.services, wanted)
        member = await register_member(api.services, registration)
        token = _token(api, secrets, member.program, member.member_id, wanted)
        referral = referral_answer(member.referral, language_of(request.scope))
        return answer(SandboxMember(member.member_id, token, referral), 201)

    @post(
        "/tokens",
        status_code=201,
        operation_id="createSandboxToken",
        summary="Create a token",
        response_description="A token of the member.",
        opt=contract(UseCase.ISSUE_TOKEN, body=SandboxTokenRequest),
    )
    async def issue_token(self, request: Request[Any, Any, Any]) -> Answer[SandboxToken]:
        """For any member there is, also one whom the shop registered or an import brought."""
        api, secrets = _open(request.scope)
        wanted = await read_json(request, _token_request)
        api.services.programs.get(wanted.program)
        await api.services.members.get(api.services.db, wanted.program, wanted.member_id)
        return answer(SandboxToken(_token(api, secrets, wanted.program, wanted.member_id, wanted)), 201)

    @post(
        "/clock",
        status_code=200,
        operation_id="advanceClock",
        summary="Advance the test clock",
        response_description="The new time. All work that fell due until then is done, in order.",
        opt=contract(UseCase.ADVANCE_CLOCK, body=ClockRequest),
    )
    async def advance(self, request: Request[Any, Any, Any]) -> Answer[ClockTime]:
        """By a duration, or to a time. The clock stops at each due time in between."""
        api, _ = _open(request.scope)
        wanted = await read_json(request, _clock)
        if (wanted.advance is None) == (wanted.to is None):
            raise invalid(FieldError("$", "either `advance` or `to`"))
        now = api.services.clock.now()
        if (wanted.to or now) > LATEST or (wanted.advance or timedelta()) > LATEST - now:
            field = "advance" if wanted.to is None else "to"
            raise invalid(FieldError(field, f"not beyond {LATEST:%Y-%m-%d}"))
        await advance_clock(api.services, to=wanted.to, by=wanted.advance)
        await _others_follow(api.services)
        return answer(ClockTime(api.services.clock.now()))


async def _others_follow(services: Services) -> None:
    """Wait until other APIs show the new time too: the next request may go to one of them."""
    with suppress(Unavailable):
        if len(await services.topics.read_heartbeats(API)) > 1:
            await asyncio.sleep(FOLLOWED_S)


def _open(scope: Scope) -> tuple[Api, SandboxSecrets]:
    api = started_api_of(scope)
    assert api.sandbox is not None, "these routes exist only where there is a sandbox"
    return api, api.sandbox


def _token(
    api: Api,
    secrets: SandboxSecrets,
    program_id: str,
    member_id: str,
    wanted: SandboxMemberRequest | SandboxTokenRequest,
) -> str:
    settings = api.services.settings
    return sign(
        secrets,
        program_id,
        member_id,
        SANDBOX_LIFETIME,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        device=wanted.device,
        attested=wanted.device_attested,
    )


def _registration(services: Services, member: SandboxMemberRequest) -> MemberRegistration:
    """Raises Refusal unknown_program."""
    now = services.clock.now()
    return MemberRegistration(
        member_id=member.member_id or f"m-{token_hex(8)}",
        program=member.program,
        country=member.country or _first_country(services, member.program, now),
        birth_date=member.birth_date or add_months(now.date(), -12 * ADULT_YEARS),
        kind=member.kind,
        person_ref=member.person_ref or f"sandbox-{token_hex(8)}",
        phone=member.phone,
        card_numbers=member.card_numbers,
        referral_code=member.referral_code,
        device_ids=member.device_ids,
        addresses=member.addresses,
    )


def _programs(services: Services, now: datetime) -> list[SandboxProgram]:
    """List the programs that are in force somewhere."""
    found = []
    for program_id in services.programs.ids():
        published = services.programs.versions(program_id)
        if countries := _countries(published, now):
            shown = versions.in_force(published, now, countries[0])
            assert shown is not None
            found.append(SandboxProgram(program_id, shown.title, countries))
    return found


def _countries(published: Sequence[Program], now: datetime) -> list[str]:
    """List the countries in which a version is in force, as the oldest version that names each has them."""
    countries = dict.fromkeys(country for version in published for country in version.countries)
    return [country for country in countries if versions.in_force(published, now, country) is not None]


def _first_country(services: Services, program_id: str, now: datetime) -> str:
    """Return the first country in which the program is in force. Raises Refusal unknown_program."""
    published = services.programs.get(program_id)
    return next(iter(_countries(published, now)), next(iter(published[-1].countries)))
