"""Load the gate with the slots that members have used, as the ledger knows them."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain import calendar
from engage.domain.campaigns.index import CampaignIndex
from engage.domain.earning.limits import WindowSlot
from engage.domain.earning.streak import restored_streak
from engage.domain.earning.streak_history import Introduction
from engage.domain.keys import MemberKey
from engage.domain.program.program import Program
from engage.domain.refusals import Refusal
from engage.flows.activities.streaks import introduced, introduction, streak_terms
from engage.gate import keys
from engage.ledger.streaks import StreakInLedger, StreakKey, read_streaks
from engage.ledger.window_slots import AnyWindow, UsedByRule, read_slots_by_rule
from engage.runtime.campaign_cache import NO_CAMPAIGNS
from engage.runtime.services import Services
from engage.store.members.members import Member

Streaks = dict[StreakKey, StreakInLedger]


class _Offer(Struct, frozen=True):
    """The rules that limit the members of a country at an instant. `campaigns` have rules too: whether they
    are for a member does not matter here. `slots` are of the windows that are open.
    """

    program: Program
    zone: str
    at: datetime
    streaks: Sequence[tuple[str, Introduction | None]]
    slots: Mapping[tuple[AnyWindow, str], WindowSlot]  # By window and rule.
    windows: frozenset[AnyWindow]


async def load_gate(
    services: Services, conn: AsyncConnection, members: Sequence[tuple[Member, datetime]]
) -> Streaks:
    """Loads the gate with the slots of members that it does not know, each as of an instant.

    Returns the members' streaks. Raises Unavailable.
    """
    limited = await _limited(services, conn, members)
    if not limited:
        return {}
    streaks = await _read_streaks(conn, limited)
    used = await _read_used(conn, limited)
    records = [
        (*member.key, _records(member.key, offer, streaks, used.get(member.key, {})))
        for member, offer in limited
    ]
    # Zones lie up to 14 hours apart; the gate also keeps the day before.
    at = min(at for _, at in members)
    day, month = calendar.window("day", at, "UTC").period, calendar.window("month", at, "UTC").period
    await services.gate.load(records, day=day, month=month)
    return streaks


async def _limited(
    services: Services, conn: AsyncConnection, members: Sequence[tuple[Member, datetime]]
) -> list[tuple[Member, _Offer]]:
    """The members to whom something is offered in their country, each with it."""
    indexes = await services.campaigns.at(conn, services.clock.now())
    offers: dict[tuple[str, str, datetime], _Offer | None] = {}
    found = []
    for member, at in members:
        key = member.program_id, member.country, at
        if key not in offers:
            index = indexes.get(member.program_id, NO_CAMPAIGNS)
            offers[key] = _offer(services, index, member.program_id, member.country, at)
        offer = offers[key]
        if offer is not None:
            found.append((member, offer))
    return found


def _offer(
    services: Services, index: CampaignIndex, program_id: str, country: str, at: datetime
) -> _Offer | None:
    """Return None where no version is in force."""
    try:
        program, market = services.programs.in_force(program_id, at=at, country=country)
    except Refusal:
        return None
    rules = [program.earning.rules, *(each.rules for each in index.limiting(at, zone=market.zone))]
    # A rule may be in several versions of a campaign.
    by_rule = {
        (slot.rule_id, slot.window.kind): slot
        for each in rules
        for slot in each.open_windows(at, market.zone)
    }
    slots = {((slot.window.kind, slot.window.first_day), slot.rule_id): slot for slot in by_rule.values()}
    versions = services.programs.versions(program_id)
    streaks = [
        (
            rule.id,
            introduction(versions, rule.id, country=country)
            if streak_terms(program, rule.id).freezes is not None
            else None,
        )
        for rule in program.earning.rules.streaks
    ]
    windows = frozenset(window for window, _ in slots)
    return _Offer(program, market.zone, at, streaks, slots, windows)


async def _read_streaks(conn: AsyncConnection, limited: Sequence[tuple[Member, _Offer]]) -> Streaks:
    """The streak of each rule that counts days in a row."""
    since = {
        StreakKey(*member.key, rule_id): introduced_at
        for member, offer in limited
        for rule_id, introduced_at in offer.streaks
    }
    found = await read_streaks(conn, list(since))
    return {key: introduced(streak, since[key]) for key, streak in found.items()}


async def _read_used(
    conn: AsyncConnection, limited: Sequence[tuple[Member, _Offer]]
) -> dict[MemberKey, UsedByRule]:
    """The slots that members have used. Most members of a batch have the same windows."""
    members: dict[frozenset[AnyWindow], list[MemberKey]] = {}
    for member, offer in limited:
        members.setdefault(offer.windows, []).append(member.key)
    used: dict[MemberKey, UsedByRule] = {}
    for windows, keys_of_members in members.items():
        used |= await read_slots_by_rule(conn, keys_of_members, windows)
    return used


def _records(member: MemberKey, offer: _Offer, streaks: Streaks, used: UsedByRule) -> list[keys.Record]:
    found: list[keys.Record] = []
    for rule_id, _ in offer.streaks:
        streak = streaks.get(StreakKey(*member, rule_id))
        if streak is not None:
            terms = streak_terms(offer.program, rule_id)
            kept = restored_streak(streak.streak, at=offer.at, zone=offer.zone, terms=terms)
            found.append(keys.streak_record(rule_id, kept, streak.seq))
    for place, numbers in used.items():
        slot = offer.slots.get(place)
        if slot is not None:
            found.append(keys.window_record(slot.rule_id, slot.window.kind, slot.period, numbers))
    return found
