"""The campaigns whose definitions are for members, by the facts for which their audiences ask."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engage.domain.definitions.kind import DefinitionKind
from engage.domain.keys import MemberKey
from engage.domain.program.program import Program
from engage.domain.refusals import Refusal
from engage.runtime.audiences import Occasion, occasion_of, reach
from engage.runtime.services import Services
from engage.store.members.members import Member


async def campaigns_offering(
    services: Services,
    source: AsyncEngine | AsyncConnection,
    kind: DefinitionKind[Any],
    members: Collection[Member],
    *,
    at: datetime,
) -> dict[MemberKey, frozenset[str]]:
    """The campaigns in force with definitions of a kind that are for each member; members without any are
    left out. Reads nothing where no audience asks for facts. `at` is not ahead of the clock.

    Raises Unavailable.
    """
    indexes = await services.campaigns.at(source, at)
    asked: dict[MemberKey, tuple[Occasion, Program]] = {}
    for member in members:
        index = indexes.get(member.program_id)
        if index is None or kind.plural not in index.brought:
            continue
        try:
            program, market = services.programs.in_force(member.program_id, at=at, country=member.country)
        except Refusal:
            continue  # Nothing is offered in their country.
        campaigns = index.bringing(kind, at, country=member.country, zone=market.zone)
        if campaigns:
            asked[member.key] = occasion_of(index, campaigns, member, zone=market.zone, at=at), program
    found = await reach(source, list(asked.values()))
    return dict(zip(asked, found, strict=True))
