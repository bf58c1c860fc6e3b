"""Load the gate with the slots that members have used, as the ledger knows them."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain import calendar
from engage.domain.earning.index import RuleIndex
from engage.domain.earning.limits import WindowSlot
from engage.domain.earning.streak import restored_streak
from engage.domain.refusals import Refusal
from engage.gate import keys
from engage.ledger.used_slots import (
    StreakInLedger,
    StreakQuery,
    WindowQuery,
    query_of,
    read_streaks,
    read_used_slots,
)
from engage.runtime.services import Services
from engage.store.members.members import Member

Streaks = dict[tuple[str, str, str], StreakInLedger]  # By (program, member, rule).


class _Limits(Struct, frozen=True):
    """The rules that limit a member at an instant, and the queries for the slots that were used."""

    member: Member
    at: datetime
    zone: str
    rules: RuleIndex

    def streaks(self) -> list[tuple[str, StreakQuery]]:
        """(rule, query) of each rule that counts days in a row."""
        return [(rule.id, StreakQuery(*self.member.key, rule.id, self.at)) for rule in self.rules.streaks]

    def windows(self) -> list[tuple[WindowSlot, WindowQuery]]:
        """(slot, query) of each rule with a limit per window."""
        slots = self.rules.open_windows(self.at, self.zone)
        return [(slot, query_of(self.member.key, slot)) for slot in slots]


async def load_gate(
    services: Services, conn: AsyncConnection, members: Sequence[tuple[Member, datetime]]
) -> Streaks:
    """Loads the gate with the slots of members that it does not know, each as of an instant.

    Returns the members' streaks as of then. Raises Unavailable.
    """
    limits = []
    for member, at in members:
        try:
            program, market = services.programs.in_force(member.program_id, at=at, country=member.country)
        except Refusal:
            continue  # Nothing is offered in their country.
        limits.append(_Limits(member, at, market.zone, program.earning.rules))
    if not limits:
        return {}
    streaks = await read_streaks(conn, [query for limit in limits for _, query in limit.streaks()])
    used = await read_used_slots(conn, [query for limit in limits for _, query in limit.windows()])
    records = [(*limit.member.key, _records(limit, streaks, used)) for limit in limits]
    # Zones lie up to 14 hours apart; the gate also keeps the day before.
    at = min(at for _, at in members)
    day, month = calendar.window("day", at, "UTC").period, calendar.window("month", at, "UTC").period
    await services.gate.load(records, day=day, month=month)
    return {(query.program_id, query.member_id, query.rule_id): streak for query, streak in streaks.items()}


def _records(
    limits: _Limits, streaks: dict[StreakQuery, StreakInLedger], used: dict[WindowQuery, list[int]]
) -> list[keys.SlotRecord]:
    return [
        *(
            keys.streak_record(rule_id, *restored_streak(found.streak, at=limits.at, zone=limits.zone))
            for rule_id, query in limits.streaks()
            if (found := streaks.get(query)) is not None and found.streak is not None
        ),
        *(
            keys.window_record(slot.rule_id, slot.window.kind, slot.period, used[query])
            for slot, query in limits.windows()
            if query in used
        ),
    ]
