"""The home screen in one answer. Screens that are asked for at once are read from PostgreSQL together: by one
statement for all members with the same offer.

A feature that is on the home screen adds its field to `Home` and its section to `SECTIONS`.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import GenericAlias
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.accounts.balance import Balance
from engage.domain.campaigns.index import PublishedCampaign
from engage.domain.document.texts import FALLBACK
from engage.domain.earning.limits.per_window import LimitView
from engage.domain.keys import MemberKey
from engage.domain.market import Market
from engage.domain.program.program import Program
from engage.domain.refusals import Code, Refusal
from engage.flows.activities.home import LIMITS, STREAK, WAITING, HomeStreak
from engage.flows.campaigns.of_member import MemberCampaign, views
from engage.flows.tiers.home import TIERS
from engage.flows.tiers.views import TierView
from engage.ledger import home as ledger
from engage.ledger.home import ExpiringPoints, WaitingPoints
from engage.runtime.audiences import campaigns_for_each, with_rules_of
from engage.runtime.database import one_statement
from engage.runtime.home import HomeContext, HomeSection, Offer, listed
from engage.runtime.services import Services
from engage.store.members.members import Member

EXPIRING_SHOWN = 12

EXPIRING = HomeSection(
    field="expiring",
    select=ledger.EXPIRING,
    type=list[ExpiringPoints] | None,
    parameters=lambda _: {"expiring_shown": EXPIRING_SHOWN},
    view=lambda _: listed,
)
SECTIONS = (EXPIRING, WAITING, STREAK, LIMITS, TIERS)

# One column of text for all sections, which is decoded once, to what each section needs.
_VALUES = f"CAST(json_build_array({', '.join(section.select for section in SECTIONS)}) AS text)"
_values = msgspec.json.Decoder(GenericAlias(tuple, tuple(section.type for section in SECTIONS)))


class MemberView(Struct, frozen=True):
    member_id: str
    program: str
    program_version: str | None
    country: str
    zone: str | None
    currency: str | None


class Home(Struct, frozen=True, kw_only=True):
    """Everything a home screen shows. `streak` is null if the program has none. `tier` is the first of
    `tiers`. `campaigns` are those that are for the member now.
    """

    member: MemberView
    balance: Balance
    expiring: list[ExpiringPoints]
    waiting: list[WaitingPoints]
    streak: HomeStreak | None
    limits: list[LimitView]
    tier: TierView | None
    tiers: list[TierView]
    campaigns: list[MemberCampaign]


class HomeRequest(Struct, frozen=True):
    """A request for the home screen of a member, with texts in a language."""

    program_id: str
    member_id: str
    language: str


class OfferedMember(Struct, frozen=True):
    """A member, what applies to them now, and the campaigns that are for them. `offer` is None while nothing
    is offered in their country: the balance is theirs all the same.
    """

    member: Member
    offer: Offer | None
    campaigns: list[PublishedCampaign]

    @property
    def group(self) -> tuple[str, str, int]:
        """Members of one group have the same offer. Terms are made once, and live as long as this does."""
        return self.member.program_id, self.member.country, 0 if self.offer is None else id(self.offer.terms)


Read = tuple[Balance, Sequence[Any]]


async def read_home(services: Services, program_id: str, member_id: str, *, language: str = FALLBACK) -> Home:
    """Read a member's home screen, with texts in a language. Raises Refusal unknown_member; Unavailable."""
    (home,) = await read_homes(services, [HomeRequest(program_id, member_id, language)])
    if isinstance(home, Refusal):
        raise home
    return home


async def read_homes(services: Services, requests: Sequence[HomeRequest]) -> list[Home | Refusal]:
    """Read home screens together: one for each request, in order, or Refusal unknown_member.

    Raises Unavailable.
    """
    now = services.clock.now()
    keys = [(request.program_id, request.member_id) for request in requests]
    members = await services.members.find(services.db, keys)
    if not members:
        return [Refusal(Code.UNKNOWN_MEMBER) for _ in requests]
    async with one_statement(services.db) as conn:
        offered = await _offered(services, conn, {each.key: each for each in members.values()}, now=now)
        read = await _read(services, conn, offered.values(), now=now)
    shown: dict[tuple[tuple[str, str, int], str], HomeViews] = {}
    homes: list[Home | Refusal] = []
    for key, request in zip(keys, requests, strict=True):
        if key not in members or (current := members[key].key) not in read:
            homes.append(Refusal(Code.UNKNOWN_MEMBER))
            continue
        of_member = offered[current]
        views = shown.get((of_member.group, request.language))
        if views is None:
            context = _context(services, of_member, now, request.language)
            views = shown[of_member.group, request.language] = HomeViews(context)
        homes.append(views.home(of_member, read[current]))
    return homes


class HomeViews:
    """The views of all sections for members with the same offer and language."""

    def __init__(self, context: HomeContext) -> None:
        self._language = context.language
        self._views = [(section.field, section.view(context)) for section in SECTIONS]

    def home(self, offered: OfferedMember, read: Read) -> Home:
        balance, values = read
        fields: dict[str, Any] = {
            field: view(value) for (field, view), value in zip(self._views, values, strict=True)
        }
        member, offer = offered.member, offered.offer
        return Home(
            member=_member_view(member, offer),
            balance=balance,
            tier=next(iter(fields["tiers"]), None),
            campaigns=[] if offer is None else views(offered.campaigns, offer.market.zone, self._language),
            **fields,
        )


async def _offered(
    services: Services, conn: AsyncConnection, members: Mapping[MemberKey, Member], *, now: datetime
) -> dict[MemberKey, OfferedMember]:
    found = {key: OfferedMember(member, None, []) for key, member in members.items()}
    by_country: dict[tuple[str, str], tuple[Program, Market] | None] = {}
    in_force: dict[MemberKey, tuple[Program, Market]] = {}
    for key, member in members.items():
        of_country = member.program_id, member.country
        if of_country not in by_country:
            by_country[of_country] = _in_force(services, *of_country, now=now)
        if (offered := by_country[of_country]) is not None:
            in_force[key] = offered
    asked = [(members[key], program, market.zone) for key, (program, market) in in_force.items()]
    campaigns = await campaigns_for_each(services, conn, asked, at=now)
    for (key, (program, market)), of_member in zip(in_force.items(), campaigns, strict=True):
        terms = services.campaigns.terms(program, with_rules_of(of_member))
        found[key] = OfferedMember(members[key], Offer(program, market, terms), of_member)
    return found


def _in_force(
    services: Services, program_id: str, country: str, *, now: datetime
) -> tuple[Program, Market] | None:
    """Return None where nothing is offered."""
    try:
        return services.programs.in_force(program_id, at=now, country=country)
    except Refusal:
        return None


async def _read(
    services: Services, conn: AsyncConnection, members: Iterable[OfferedMember], *, now: datetime
) -> dict[MemberKey, Read]:
    """Read what the screens of members show. One statement for all who have the same offer."""
    groups: dict[tuple[str, str, int], list[OfferedMember]] = {}
    for each in members:
        groups.setdefault(each.group, []).append(each)
    found: dict[MemberKey, Read] = {}
    for (program_id, _, _), group in groups.items():
        context = _context(services, group[0], now, FALLBACK)
        parameters: dict[str, object] = {}
        for section in SECTIONS:
            parameters |= section.parameters(context)
        read = await ledger.read_homes(
            conn,
            program_id,
            [each.member.member_id for each in group],
            now=now,
            sections=[_VALUES],
            parameters=parameters,
        )
        for member_id, (balance, (values,)) in read.items():
            found[program_id, member_id] = balance, _values.decode(values)
    return found


def _context(services: Services, offered: OfferedMember, now: datetime, language: str) -> HomeContext:
    member = offered.member
    return HomeContext(
        now, offered.offer, language, member.country, services.programs.versions(member.program_id)
    )


def _member_view(member: Member, offer: Offer | None) -> MemberView:
    return MemberView(
        member_id=member.member_id,
        program=member.program_id,
        program_version=None if offer is None else offer.program.version,
        country=member.country,
        zone=None if offer is None else offer.market.zone,
        currency=None if offer is None else offer.market.currency,
    )
