"""The home screen in one answer, read from PostgreSQL alone: REST is the truth."""

from datetime import datetime

from msgspec import Struct

from engage.domain import calendar
from engage.domain.balance import Balance
from engage.domain.decide import limited_rules, streak_rule
from engage.domain.program import PerWindow, Program
from engage.domain.refusal import Refusal
from engage.domain.streak import StreakView, view
from engage.flows.members import unknown_member
from engage.flows.parts import Parts
from engage.flows.record_activity import LimitView
from engage.flows.transaction import transaction
from engage.ledger.balances import read_balances
from engage.ledger.credits import Expiring, expiring
from engage.ledger.truth import Asking, read_places, read_streaks
from engage.store.members import Member

EXPIRING_SHOWN = 12


class MemberView(Struct, frozen=True):
    member_id: str
    program: str
    program_version: str | None
    country: str
    zone: str | None
    currency: str | None


class Home(Struct, frozen=True, kw_only=True):
    """Everything a home screen shows. `streak` is null where the program has none."""

    member: MemberView
    balance: Balance
    expiring: list[Expiring]
    streak: StreakView | None
    limits: list[LimitView]
    tier: None = None
    campaigns: list[str] = []


async def read_home(parts: Parts, program_id: str, member_id: str) -> Home:
    """Raises Refusal unknown_member."""
    now = parts.clock.now()
    key = (program_id, member_id)
    member = (await parts.members.find(parts.db, [key])).get(key)
    if member is None:
        raise unknown_member()
    try:
        program, market = parts.programs.in_force(program_id, at=now, country=member.country)
    except Refusal:
        # Nothing is offered where they live, or not yet; what they have is theirs all the same.
        return await _read(parts, member, None, None, None, now)
    return await _read(parts, member, program, market.zone, market.currency, now)


async def _read(
    parts: Parts,
    member: Member,
    program: Program | None,
    zone: str | None,
    currency: str | None,
    now: datetime,
) -> Home:
    key = (member.program_id, member.member_id)
    streak, limits = None, []
    async with transaction(parts.db) as conn:
        balance = (await read_balances(conn, [key])).get(key, Balance())
        ending = await expiring(conn, *key, now=now, limit=EXPIRING_SHOWN)
        if program is not None and zone is not None:
            found = streak_rule(program)
            if found is not None:
                rule, bonus = found
                asked = Asking(*key, rule.id)
                running = (await read_streaks(conn, [asked])).get(asked)
                streak = view(running, now, zone, bonus_every_days=bonus)
            windows = {
                rule.id: (Asking(*key, f"{rule.id}:{window.label}:"), rule.limit.count, window.end)
                for rule in limited_rules(program)
                if isinstance(rule.limit, PerWindow)
                and (window := calendar.window(rule.limit.window, now, zone))
            }
            used = await read_places(conn, [asked for asked, _, _ in windows.values()])
            limits = [
                LimitView(rule_id, count - sum(place <= count for place in used.get(asked, [])), end)
                for rule_id, (asked, count, end) in windows.items()
            ]
    version = None if program is None else program.version
    shown = MemberView(member.member_id, member.program_id, version, member.country, zone, currency)
    return Home(member=shown, balance=balance, expiring=ending, streak=streak, limits=limits)
