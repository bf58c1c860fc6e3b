"""The draws of a program as a member sees them: of definitions in force, and as they began."""

from collections.abc import Collection
from datetime import datetime

import msgspec
from msgspec import Struct

from engage.domain.definitions.definition import DefinitionId
from engage.domain.draws.definition import Draw
from engage.domain.draws.kind import DRAW
from engage.domain.keys import DrawKey
from engage.domain.market import Market
from engage.domain.program.program import Program
from engage.domain.refusals import Code, Refusal
from engage.runtime.definition_cache import Versioned
from engage.runtime.offered import campaigns_offering
from engage.runtime.services import Services
from engage.store.draws.draws import DrawRow
from engage.store.members.members import Member


class OfferedDraw(Struct, frozen=True):
    """A draw in the version that a member sees. `closes_at` is the same for all members of the program."""

    draw: Draw
    version: str
    opens_at: datetime
    closes_at: datetime

    def begin(self, key: DrawKey) -> DrawRow:
        """The draw as its first entry fixes it."""
        return DrawRow(
            program_id=key[0],
            draw_id=key[1],
            version=self.version,
            state="open",
            closes_at=self.closes_at,
            round_after_s=int(self.draw.round_after.total_seconds()),
            prizes=self.draw.winners,
            points=self.draw.points,
        )


def check_id(draw_id: str) -> None:
    """Raises Refusal not_found for what can be no id. PostgreSQL cannot even read some strings."""
    try:
        msgspec.convert(draw_id, DefinitionId)
    except msgspec.ValidationError:
        raise Refusal(Code.NOT_FOUND) from None


async def offered_to(services: Services, member: Member, *, now: datetime) -> list[OfferedDraw]:
    """The draws of the definitions in force for a member, those included that are not open.

    Raises Unavailable.
    """
    campaigns = await campaigns_offering(services, services.db, DRAW, [member], at=now)
    return offered_draws(services, member, campaigns.get(member.key, ()), now=now)


def offered_draws(
    services: Services, member: Member, campaigns: Collection[str], *, now: datetime
) -> list[OfferedDraw]:
    """The same for a member for whom these campaigns are."""
    try:
        program, market = services.programs.in_force(member.program_id, at=now, country=member.country)
    except Refusal:
        return []
    return draws_in(services, program, market, member.country, campaigns, at=now)


def draws_in(
    services: Services,
    program: Program,
    market: Market,
    country: str,
    campaigns: Collection[str],
    *,
    at: datetime,
) -> list[OfferedDraw]:
    """The same for a country to which this version and market apply."""
    zones = sorted({each.zone for each in program.countries.values()})
    found = services.definitions.in_force(DRAW, program.id, at=at, country=country, campaigns=campaigns)
    return [_offered(versioned, market.zone, zones) for versioned in found]


async def begun_draw(services: Services, row: DrawRow) -> Draw:
    """The definition under which a draw began, and goes on. Raises Unavailable."""
    return await services.definitions.version(services.db, DRAW, row.program_id, row.draw_id, row.version)


def _offered(versioned: Versioned[Draw], zone: str, zones: list[str]) -> OfferedDraw:
    draw = versioned.definition
    return OfferedDraw(draw, versioned.version, draw.opened_at(zone), draw.closed_at(zones))
