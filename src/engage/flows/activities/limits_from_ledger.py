"""Bringing what the database knows of members' slots to the gate."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain import calendar
from engage.domain.earning.rules import DailyStreak, PerWindow
from engage.domain.earning.slots import restored_streak
from engage.domain.earning.streak import Streak
from engage.domain.program.program import Program
from engage.domain.refusals import Refusal
from engage.gate import keys
from engage.ledger.used_slots import SlotQuery, read_streaks, read_used_slots
from engage.runtime.services import Services
from engage.store.members.members import Member

Streaks = dict[tuple[str, str, str], Streak]  # By (program, member, rule).


async def load_gate(
    services: Services, conn: AsyncConnection, members: Sequence[tuple[Member, datetime]]
) -> Streaks:
    """Loads the gate with these members' slots, each as of an instant, where it does not know them.

    Returns their streaks.
    """
    asked_streaks: list[SlotQuery] = []
    asked_places: list[SlotQuery] = []
    plans: list[tuple[Member, Program, str, datetime]] = []
    for member, at in members:
        try:
            program, market = services.programs.in_force(member.program_id, at=at, country=member.country)
        except Refusal:
            continue  # Nothing is offered where they are, so there is nothing to know.
        plans.append((member, program, market.zone, at))
        for rule in program.rules:
            match rule.limit:
                case DailyStreak():
                    asked_streaks.append(SlotQuery(member.program_id, member.member_id, rule.id))
                case PerWindow(window=kind):
                    prefix = f"{rule.id}:{calendar.window(kind, at, market.zone).label}:"
                    asked_places.append(SlotQuery(member.program_id, member.member_id, prefix))
                case _:
                    pass
    if not plans:
        return {}
    streaks = await read_streaks(conn, asked_streaks)
    places = await read_used_slots(conn, asked_places)
    known = [
        (member.program_id, member.member_id, _records(member, program, zone, at, streaks, places))
        for member, program, zone, at in plans
    ]
    # Zones lie up to 14 hours apart; what is yesterday somewhere is still kept.
    at = min(at for _, at in members)
    day, month = calendar.window("day", at, "UTC").period, calendar.window("month", at, "UTC").period
    await services.gate.load(known, day=day, month=month)
    return {(a.program_id, a.member_id, a.name): streak for a, streak in streaks.items()}


def _records(
    member: Member,
    program: Program,
    zone: str,
    at: datetime,
    streaks: dict[SlotQuery, Streak],
    places: dict[SlotQuery, list[int]],
) -> list[keys.SlotRecord]:
    records = []
    for rule in program.rules:
        match rule.limit:
            case DailyStreak():
                streak = streaks.get(SlotQuery(member.program_id, member.member_id, rule.id))
                if streak is not None:
                    records.append(keys.streak_record(rule.id, *restored_streak(streak, at=at, zone=zone)))
            case PerWindow(window=kind):
                window = calendar.window(kind, at, zone)
                used = places.get(
                    SlotQuery(member.program_id, member.member_id, f"{rule.id}:{window.label}:")
                )
                if used:
                    records.append(keys.window_record(rule.id, kind, window.period, used))
            case _:
                pass
    return records
