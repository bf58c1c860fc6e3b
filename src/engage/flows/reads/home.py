"""The home screen in one answer, read from PostgreSQL by one statement.

A feature that is on the home screen adds its field to `Home` and its section to `SECTIONS`.
"""

from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.accounts.balance import Balance
from engage.domain.campaigns.index import PublishedCampaign
from engage.domain.document.texts import FALLBACK
from engage.domain.earning.limits.per_window import LimitView
from engage.domain.refusals import Code, Refusal
from engage.flows.activities.home import LIMITS, STREAK, WAITING, HomeStreak
from engage.flows.campaigns.of_member import MemberCampaign, views
from engage.flows.tiers.home import TIERS
from engage.flows.tiers.views import TierView
from engage.ledger import home as ledger
from engage.ledger.home import ExpiringPoints, WaitingPoints
from engage.runtime.audiences import campaigns_for, with_rules_of
from engage.runtime.database import one_statement
from engage.runtime.home import HomeContext, HomeSection, Offer
from engage.runtime.services import Services
from engage.store.members.members import Member

EXPIRING_SHOWN = 12

EXPIRING = HomeSection(
    field="expiring",
    select=ledger.EXPIRING,
    parameters=lambda _: {"expiring_shown": EXPIRING_SHOWN},
    view=lambda _, value: ledger.expiring_of(value),
)
SECTIONS = (EXPIRING, WAITING, STREAK, LIMITS, TIERS)


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


async def read_home(services: Services, program_id: str, member_id: str, *, language: str = FALLBACK) -> Home:
    """Read a member's home screen, with texts in a language. Raises Refusal unknown_member; Unavailable."""
    now = services.clock.now()
    member = await services.members.get(services.db, program_id, member_id)
    async with one_statement(services.db) as conn:
        offer, campaigns = await _offer(services, conn, member, now=now)
        context = HomeContext(now, offer, language, member.country, services.programs.versions(program_id))
        parameters: dict[str, object] = {}
        for section in SECTIONS:
            parameters |= section.parameters(context)
        read = await ledger.read_home(
            conn,
            member.program_id,
            member.member_id,
            now=now,
            sections=[section.select for section in SECTIONS],
            parameters=parameters,
        )
    if read is None:
        raise Refusal(Code.UNKNOWN_MEMBER)
    balance, values = read
    fields: dict[str, Any] = {
        section.field: section.view(context, value) for section, value in zip(SECTIONS, values, strict=True)
    }
    tier = next(iter(fields["tiers"]), None)
    return Home(
        member=_member_view(member, offer),
        balance=balance,
        tier=tier,
        campaigns=[] if offer is None else views(campaigns, offer.market.zone, language),
        **fields,
    )


async def _offer(
    services: Services, conn: AsyncConnection, member: Member, *, now: datetime
) -> tuple[Offer | None, list[PublishedCampaign]]:
    """(what applies to a member now, the campaigns that are for them). The balance is the member's, whether
    anything is offered in their country or not.
    """
    try:
        program, market = services.programs.in_force(member.program_id, at=now, country=member.country)
    except Refusal:
        return None, []
    campaigns = await campaigns_for(services, conn, member, program, zone=market.zone, at=now)
    return Offer(program, market, services.campaigns.terms(program, with_rules_of(campaigns))), campaigns


def _member_view(member: Member, offer: Offer | None) -> MemberView:
    return MemberView(
        member_id=member.member_id,
        program=member.program_id,
        program_version=None if offer is None else offer.program.version,
        country=member.country,
        zone=None if offer is None else offer.market.zone,
        currency=None if offer is None else offer.market.currency,
    )
