"""Load the gate with the slots that members have used, as the ledger knows them."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain import calendar
from engage.domain.campaigns.index import PublishedCampaign
from engage.domain.earning.limits import WindowSlot
from engage.domain.earning.streak import restored_streak
from engage.domain.program.program import Program
from engage.domain.refusals import Refusal
from engage.flows.activities.streaks import introduced, introduction, streak_terms
from engage.gate import keys
from engage.ledger.streaks import StreakInLedger, StreakKey, read_streaks
from engage.ledger.used_slots import WindowQuery, query_of, read_used_slots
from engage.runtime.campaign_cache import NO_CAMPAIGNS
from engage.runtime.services import Services
from engage.store.members.members import Member

Streaks = dict[StreakKey, StreakInLedger]


class _Limits(Struct, frozen=True):
    """The rules that limit a member at an instant, and the queries for the slots that were used. `campaigns`
    have rules too: whether they are for the member does not matter here.
    """

    member: Member
    at: datetime
    zone: str
    program: Program
    campaigns: Sequence[PublishedCampaign]

    def streaks(self) -> list[StreakKey]:
        """The streak of each rule that counts days in a row."""
        return [StreakKey(*self.member.key, rule.id) for rule in self.program.earning.rules.streaks]

    def windows(self) -> list[tuple[WindowSlot, WindowQuery]]:
        """(slot, query) of each rule with a limit per window."""
        rules = [self.program.earning.rules, *(each.rules for each in self.campaigns)]
        # A rule may be in several versions of a campaign.
        slots = {
            (slot.rule_id, slot.window.kind): slot
            for each in rules
            for slot in each.open_windows(self.at, self.zone)
        }
        return [(slot, query_of(self.member.key, slot)) for slot in slots.values()]


async def load_gate(
    services: Services, conn: AsyncConnection, members: Sequence[tuple[Member, datetime]]
) -> Streaks:
    """Loads the gate with the slots of members that it does not know, each as of an instant.

    Returns the members' streaks. Raises Unavailable.
    """
    limits = []
    indexes = await services.campaigns.at(conn, services.clock.now())
    for member, at in members:
        try:
            program, market = services.programs.in_force(member.program_id, at=at, country=member.country)
        except Refusal:
            continue  # Nothing is offered in their country.
        index = indexes.get(member.program_id, NO_CAMPAIGNS)
        limits.append(_Limits(member, at, market.zone, program, index.limiting(at, zone=market.zone)))
    if not limits:
        return {}
    streaks = await read_streaks(conn, [streak for limit in limits for streak in limit.streaks()])
    for limit in limits:
        for key in limit.streaks():
            if key in streaks and streak_terms(limit.program, key.rule_id).freezes is not None:
                versions = services.programs.versions(key.program_id)
                since = introduction(versions, key.rule_id, country=limit.member.country)
                streaks[key] = introduced(streaks[key], since)
    used = await read_used_slots(conn, [query for limit in limits for _, query in limit.windows()])
    records = [(*limit.member.key, _records(limit, streaks, used)) for limit in limits]
    # Zones lie up to 14 hours apart; the gate also keeps the day before.
    at = min(at for _, at in members)
    day, month = calendar.window("day", at, "UTC").period, calendar.window("month", at, "UTC").period
    await services.gate.load(records, day=day, month=month)
    return streaks


def _records(limits: _Limits, streaks: Streaks, used: dict[WindowQuery, list[int]]) -> list[keys.Record]:
    found: list[keys.Record] = []
    for key in limits.streaks():
        if key in streaks:
            terms = streak_terms(limits.program, key.rule_id)
            kept = restored_streak(streaks[key].streak, at=limits.at, zone=limits.zone, terms=terms)
            found.append(keys.streak_record(key.rule_id, kept, streaks[key].seq))
    for slot, query in limits.windows():
        if query in used:
            found.append(keys.window_record(slot.rule_id, slot.window.kind, slot.period, used[query]))
    return found
