"""What a home screen shows of the ledger, of one instant: read in one statement, so that its parts agree."""

from collections.abc import Sequence
from datetime import date, datetime

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.domain.accounts.balance import Balance
from engage.domain.earning.streak import Streak


class Expiring(msgspec.Struct, frozen=True):
    points: int
    expires_at: datetime


class HomeRead(msgspec.Struct, frozen=True):
    """`streak` is the newest day of the run, with its length then; `used`, source keys within the windows.

    What has ended can be spent no more, so it is not in `balance` either, swept or not.
    """

    balance: Balance
    expiring: list[Expiring]
    streak: Streak | None
    used: list[str]


# As in engage.ledger.used_slots, the keys of a rule lie between "rule:" and "rule;".
_READ = text("""
SELECT b.active - coalesce((
    SELECT sum(remaining)::bigint FROM lots
    WHERE program_id = b.program_id AND member_id = b.member_id AND remaining > 0 AND expires_at <= :now
), 0), b.pending, b.held, b.debt, b.version, (
    SELECT json_agg(json_build_object('points', e.points, 'expires_at', e.expires_at) ORDER BY e.expires_at)
    FROM (
        SELECT sum(remaining)::bigint AS points, expires_at FROM lots
        WHERE program_id = b.program_id AND member_id = b.member_id AND remaining > 0 AND expires_at > :now
        GROUP BY expires_at ORDER BY expires_at LIMIT :shown
    ) e
), (
    SELECT json_build_array(c.source_key, c.why -> 'inputs' -> 'streak_days', c.why -> 'inputs' -> 'zone')
    FROM credits c
    WHERE c.program_id = b.program_id AND c.member_id = b.member_id
      AND c.source_key >= CAST(:streak_rule AS text) || ':'
      AND c.source_key < CAST(:streak_rule AS text) || ';'
    ORDER BY c.source_key DESC LIMIT 1
), (
    SELECT array_agg(c.source_key)
    FROM unnest(CAST(:prefixes AS text[])) AS p (prefix)
    JOIN credits c
      ON c.program_id = b.program_id AND c.member_id = b.member_id
     AND c.source_key >= p.prefix AND c.source_key < rtrim(p.prefix, ':') || ';'
)
FROM balances b
WHERE b.program_id = :program_id AND b.member_id = :member_id
""")


async def read_home(
    conn: AsyncConnection,
    program_id: str,
    member_id: str,
    *,
    now: datetime,
    expiring_shown: int,
    streak_rule: str | None,
    prefixes: Sequence[str],
) -> HomeRead | None:
    """`prefixes` are those of the windows that `now` lies in (`WindowSlot.prefix`). None for no member."""
    row = (
        await conn.execute(
            _READ,
            {
                "program_id": program_id,
                "member_id": member_id,
                "now": now,
                "shown": expiring_shown,
                "streak_rule": streak_rule,
                "prefixes": list(prefixes),
            },
        )
    ).one_or_none()
    if row is None:
        return None
    active, pending, held, debt, version, ending, run, used = row
    streak = None
    if run is not None:
        source_key, days, zone = run
        streak = Streak(date.fromisoformat(source_key.rpartition(":")[2]), days, zone)
    return HomeRead(
        Balance(active, pending, held, debt, version),
        msgspec.convert(ending or [], list[Expiring]),
        streak,
        used or [],
    )
