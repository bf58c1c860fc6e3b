"""The home screen's statement: the balances of members and the data of the sections.

One statement, so that everything on the screen is of one instant. A section's SQL is one expression over `b`,
the member's row of balances. Names of parameters are unique among all sections; `:now` is shared.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from engage.direct_sql import DirectStatement
from engage.domain.accounts.balance import Balance
from engage.domain.calendar import WindowKind
from engage.ledger.streaks import StreakInLedger, days_between, newest_event, streak_of


class ExpiringPoints(msgspec.Struct, frozen=True):
    points: int
    expires_at: datetime


class WaitingPoints(msgspec.Struct, frozen=True):
    """Pending points that the shop has to confirm until `lapses_at`."""

    points: int
    lapses_at: datetime


# The lots that end next, added up by their end. `:expiring_shown` is how many.
EXPIRING = """(
    SELECT json_agg(json_build_object('points', e.points, 'expires_at', e.expires_at) ORDER BY e.expires_at)
    FROM (
        SELECT sum(remaining)::bigint AS points, expires_at FROM lots
        WHERE account = b.account AND remaining > 0 AND expires_at > :now
        GROUP BY expires_at ORDER BY expires_at LIMIT :expiring_shown
    ) e
)"""

# Pending points that wait for the shop's confirmation, by the time at which they lapse without it.
# `:waiting_shown` is how many times.
WAITING = """(
    SELECT json_agg(json_build_object('points', w.points, 'lapses_at', w.lapses_at) ORDER BY w.lapses_at)
    FROM (
        SELECT sum(points)::bigint AS points, lapses_at FROM stored_credits
        WHERE account = b.account
          AND state = 'pending' AND due_at IS NULL AND lapses_at IS NOT NULL AND unit IS NULL
        GROUP BY lapses_at ORDER BY lapses_at LIMIT :waiting_shown
    ) w
)"""

# The days before the last one in which the frozen days of a run are looked for.
FROZEN_SHOWN = 61

_LAST_DAY = "coalesce(e.inputs -> 'streak' ->> 'day', e.inputs ->> 'day')"


def streak(parameter: str) -> str:
    """The newest event of the streak of the rule that a parameter names, and its newest days if some days of
    its run are frozen.
    """
    rule = f"CAST(:{parameter} AS text)"
    days = days_between("b", rule, f"(CAST({_LAST_DAY} AS date) - {FROZEN_SHOWN})", _LAST_DAY)
    return f"""(
        SELECT json_build_array(e.seq, e.at, e.inputs, e.days, CASE
            WHEN coalesce(e.inputs -> 'streak', e.inputs) -> 'frozen' IS NOT NULL THEN ARRAY({days})
        END)
        FROM ({newest_event("b", rule)}) e WHERE e.seq IS NOT NULL OR e.days IS NOT NULL
    )"""  # noqa: S608


# The streak of the rule `:streak_rule`.
STREAK = streak("streak_rule")

# Which of the source keys `:once_keys` have a credit.
USED_KEYS = """(
    SELECT json_agg(c.source_key) FROM stored_credits c
    WHERE c.account = b.account AND c.source_key = ANY(CAST(:once_keys AS text[]))
)"""

# How many orders each of the rules `:order_rules` has paid, without those that were cancelled.
PAID_ORDERS = """(
    SELECT json_object_agg(c.rule_id, c.orders) FROM (
        SELECT rule_id, count(*) AS orders FROM stored_credits
        WHERE account = b.account AND rule_id = ANY(CAST(:order_rules AS text[])) AND beside IS NULL
          AND reference IN (
              SELECT 'order:' || o.order_id FROM orders o
              WHERE o.program_id = b.program_id AND o.member_id = b.member_id AND o.cancelled_at IS NULL
          )
        GROUP BY rule_id
    ) c
)"""

# The slots that all rules have used of the day `:of_day` and of the month that begins with `:of_month`.
USED_SLOTS = """(
    SELECT json_agg(json_build_array(u.rule_id, u.kind, u.slot))
    FROM (
        SELECT c.rule_id, 'day' AS kind, c.day_slot AS slot FROM stored_credits c
        WHERE c.account = b.account AND c.of_day = :of_day
        UNION ALL
        SELECT c.rule_id, 'month', c.month_slot FROM stored_credits c
        WHERE c.account = b.account AND c.of_month = :of_month
    ) u
)"""

# Points that have ended cannot be spent, so they are not in the balance, expired by a worker or not.
_BALANCE = """b.active - coalesce((
    SELECT sum(remaining)::bigint FROM lots
    WHERE account = b.account AND remaining > 0 AND expires_at <= :now
), 0), b.pending, b.held, b.debt, b.version"""


async def read_homes(
    conn: AsyncConnection,
    program_id: str,
    member_ids: Sequence[str],
    *,
    now: datetime,
    sections: Sequence[str],
    parameters: Mapping[str, object],
) -> dict[str, tuple[Balance, list[Any]]]:
    """Read the balance of each member and the value of each section, in order. A member who does not exist is
    absent.
    """
    keys = {"program_id": program_id, "member_ids": list(member_ids), "now": now}
    rows = await _statement(tuple(sections)).fetch(conn, {**parameters, **keys})
    return {
        member_id: (Balance(active, pending, held, debt, version), values)
        for member_id, active, pending, held, debt, version, *values in rows
    }


def streak_shown(value: Any) -> tuple[StreakInLedger | None, list[date]]:
    """The streak, and the frozen days of its run up to its last day, the newest ones if there are many."""
    seq, at, inputs, older_days, days = value or [None] * 5
    found = streak_of(seq, at, inputs, older_days)
    if found is None or not days:
        return found, []
    streak, used = found.streak, set(days)
    first = max(streak.first_day, streak.last_day - timedelta(days=FROZEN_SHOWN))
    span = [first + timedelta(days=n) for n in range((streak.last_day - first).days)]
    return found, [day for day in span if day.isoformat() not in used]


def used_slots_of(value: Any) -> dict[tuple[str, WindowKind], list[int]]:
    """The numbers of the used slots, by rule and kind of window."""
    used: dict[tuple[str, WindowKind], list[int]] = {}
    for rule_id, kind, number in value or []:
        used.setdefault((rule_id, kind), []).append(number)
    return used


@lru_cache
def _statement(sections: tuple[str, ...]) -> DirectStatement:
    columns = ", ".join(["b.member_id", _BALANCE, *sections])
    return DirectStatement(
        text(f"""
SELECT {columns} FROM balances b
WHERE b.program_id = :program_id AND b.member_id = ANY(CAST(:member_ids AS text[]))
""")  # noqa: S608  # Nothing but the constants of sections.
    )
