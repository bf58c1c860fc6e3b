"""The home screen in one answer, read from PostgreSQL alone: REST is the truth."""

from datetime import datetime

from msgspec import Struct

from engage.domain import calendar
from engage.domain.accounts.balance import Balance
from engage.domain.earning.rules import PerWindow
from engage.domain.earning.streak import StreakView, view
from engage.domain.program.program import Program
from engage.domain.refusals import Refusal
from engage.flows.activities.record import LimitView
from engage.ledger import home as ledger
from engage.ledger.home import Expiring
from engage.runtime.database import one_statement
from engage.runtime.member_cache import unknown_member
from engage.runtime.services import Services
from engage.store.members.members import Member

EXPIRING_SHOWN = 12


class MemberView(Struct, frozen=True):
    member_id: str
    program: str
    program_version: str | None
    country: str
    zone: str | None
    currency: str | None


class Home(Struct, frozen=True, kw_only=True):
    """Everything a home screen shows. `streak` is null if the program has none."""

    member: MemberView
    balance: Balance
    expiring: list[Expiring]
    streak: StreakView | None
    limits: list[LimitView]
    tier: None = None
    campaigns: list[str] = []


async def read_home(services: Services, program_id: str, member_id: str) -> Home:
    """Raises Refusal unknown_member."""
    now = services.clock.now()
    member = await services.members.get(services.db, program_id, member_id)
    try:
        program, market = services.programs.in_force(program_id, at=now, country=member.country)
    except Refusal:
        # Nothing is offered where they live, or not yet; what they have is theirs all the same.
        return await _read(services, member, None, None, None, now)
    return await _read(services, member, program, market.zone, market.currency, now)


async def _read(
    services: Services,
    member: Member,
    program: Program | None,
    zone: str | None,
    currency: str | None,
    now: datetime,
) -> Home:
    rules = None if program is None else program.earning.rules
    found = None if rules is None else rules.streak
    windows = {} if program is None or zone is None else _windows(program, now, zone)
    async with one_statement(services.db) as conn:
        read = await ledger.read_home(
            conn,
            member.program_id,
            member.member_id,
            now=now,
            expiring_shown=EXPIRING_SHOWN,
            streak_rule=None if found is None else found.id,
            prefixes=[prefix for prefix, _, _ in windows.values()],
        )
    if read is None:
        raise unknown_member()
    streak = None
    if rules is not None and found is not None and zone is not None:
        streak = view(read.streak, now, zone, bonus_every_days=rules.bonus_days(found))
    limits = [
        LimitView(rule_id, count - _places_used(read.used, prefix, count), end)
        for rule_id, (prefix, count, end) in windows.items()
    ]
    version = None if program is None else program.version
    shown = MemberView(member.member_id, member.program_id, version, member.country, zone, currency)
    return Home(member=shown, balance=read.balance, expiring=read.expiring, streak=streak, limits=limits)


def _windows(program: Program, now: datetime, zone: str) -> dict[str, tuple[str, int, datetime]]:
    """(key prefix, places, end) of the windows that are open now, by rule."""
    return {
        rule.id: (f"{rule.id}:{window.label}:", rule.limit.count, window.end)
        for rule in program.earning.rules.windows
        if isinstance(rule.limit, PerWindow) and (window := calendar.window(rule.limit.window, now, zone))
    }


def _places_used(keys: list[str], prefix: str, count: int) -> int:
    """Places beyond the count are of a version that offered more."""
    return sum(key.startswith(prefix) and int(key.removeprefix(prefix)) <= count for key in keys)
