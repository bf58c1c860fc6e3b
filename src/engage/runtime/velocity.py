"""Velocity rules: look whether activities have places on their devices and networks, before they earn.

Only programs that have such rules ask the database. Places are taken in statements of their own, and before
anything is locked: whoever waits for a place, or for the group of what is suspicious, holds nothing that
others could want. An activity that is refused afterwards keeps its place. PostgreSQL alone counts, so nothing
depends on what Valkey has kept.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from engage.domain.earning.terms import EarningTerms
from engage.domain.identity import Origin
from engage.domain.program.program import Program
from engage.domain.protection.suspicion import Place, Suspicion, held, places, strictest
from engage.ledger.accept import CreditToAccept
from engage.runtime.database import one_statement
from engage.runtime.ids import new_id
from engage.runtime.services import Services
from engage.store.protection.held import SuspicionKey, key_of, open_suspicions
from engage.store.protection.places import take_places


class Observed(Struct, frozen=True, kw_only=True):
    """An activity of a member, where it comes from, and the version that decides. `name` is that of its kind;
    `activity` tells it from others of the member, and is the same when it is sent again.
    """

    program: Program
    member_id: str
    origin: Origin | None
    name: str
    activity: str
    at: datetime
    zone: str

    def places(self) -> list[Place]:
        return places(
            self.program.protection,
            self.origin,
            program_id=self.program.id,
            member_id=self.member_id,
            name=self.name,
            activity=self.activity,
            at=self.at,
            zone=self.zone,
        )


async def suspicions_of(services: Services, observed: Sequence[Observed]) -> list[Suspicion | None]:
    """Return what is suspicious about each of these; without velocity rules there is nothing to ask.

    Outside any transaction. Raises Unavailable.
    """
    wanted = [each.places() for each in observed]
    asked = [place for places in wanted for place in places]
    if not asked:
        return [None] * len(wanted)
    async with one_statement(services.db) as conn:
        has_place = iter(await take_places(conn, asked))
        without = [[place for place in places if not next(has_place)] for places in wanted]
        found = [strictest(places) for places in without if places]
        ids: dict[SuspicionKey, UUID] = {}
        if found:
            now = services.clock.now()
            ids = await open_suspicions(conn, [(new_id(), place) for place in found], now=now)
    return [_suspicion(places, ids) if places else None for places in without]


def _suspicion(without: Sequence[Place], ids: dict[SuspicionKey, UUID]) -> Suspicion:
    strict = strictest(without)
    return Suspicion(ids[key_of(strict)], tuple(place.rule.id for place in without), strict.rule.hold)


def hold_back(terms: EarningTerms, row: CreditToAccept, suspicion: Suspicion | None) -> CreditToAccept:
    """The credit to accept, due later where its activity is suspicious."""
    if suspicion is None:
        return row
    return replace(row, credit=held(terms, row.credit, suspicion), suspicion=suspicion)
