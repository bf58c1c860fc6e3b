"""Lots: the rest of each lot is the sum of its movements."""

from engage.audit import Check
from engage.ledger.checks.booked import BOOKED

# An entry that needs no move of lots: it moved nothing, or the lot of the credit that it names.
_WITHOUT_MOVES = """coalesce(held_delta, 0) = 0
    AND (active_delta = 0 OR (credit_id IS NOT NULL AND kind <> 'clawback'))"""

_MOVED = """
SELECT account, entry_seq AS seq, sum(active_delta) AS active, sum(held_delta) AS held
FROM lot_moves JOIN balances USING (program_id, member_id) GROUP BY 1, 2
"""

LOT_CHECKS = (
    Check(
        "lots_add_up",
        "The rest of a lot is the sum of its movements, its expired points are those of its expirations, "
        "and holds return no more of it than they took.",
        rows=BOOKED,
        broken="""remaining IS NOT NULL
            AND (remaining <> moved OR held < 0 OR expired <> ended + coalesce(expired_before, 0))""",
        shown="id, lot_points, remaining, moved, expired, ended, expired_before, held",
    ),
    Check(
        "moves_match_entries",
        "The moves of an entry sum to its legs, and are moves of existing lots.",
        f"""
        SELECT b.program_id, b.member_id, e.seq, e.kind, e.credit_id, e.active_delta, e.held_delta,
               e.moved_active, e.moved_held
        FROM (
            SELECT account, seq, kind, CAST(NULL AS uuid) AS credit_id, active_delta,
                   coalesce(held_delta, 0) AS held_delta,
                   coalesce(m.active, 0) AS moved_active, coalesce(m.held, 0) AS moved_held
            FROM (SELECT * FROM entries WHERE NOT ({_WITHOUT_MOVES})) e
            LEFT JOIN ({_MOVED}) m USING (account, seq)
            UNION ALL
            SELECT account, seq, kind, NULL, 0, coalesce(held_delta, 0), m.active, m.held
            FROM ({_MOVED}) m JOIN entries e USING (account, seq)
            WHERE {_WITHOUT_MOVES}
        ) e
        LEFT JOIN balances b USING (account)
        WHERE e.moved_active <> e.active_delta OR e.moved_held <> e.held_delta
        UNION ALL
        SELECT m.program_id, m.member_id, m.entry_seq, e.kind, m.credit_id, e.active_delta, e.held_delta,
               m.active_delta, m.held_delta
        FROM lot_moves m
        LEFT JOIN balances b USING (program_id, member_id)
        LEFT JOIN entries e ON e.account = b.account AND e.seq = m.entry_seq
        LEFT JOIN stored_credits c
            ON c.account = b.account AND c.id = m.credit_id AND c.remaining IS NOT NULL
        WHERE c.id IS NULL OR e.at IS DISTINCT FROM m.at
        """,  # noqa: S608  # Made of constants, as all queries here.
    ),
    Check(
        "lots_match_credits",
        "A lot begins with the entry of its credit, and ends with its credit, or later where spent "
        "points were reinstated.",
        rows=BOOKED,
        broken="""remaining IS NOT NULL AND (
            lot_seq IS DISTINCT FROM begun_seq
            OR (transferred IS NULL AND active_at IS DISTINCT FROM begun_at)
            OR lot_ends_at IS DISTINCT FROM coalesce(grace_until, ended_before, expires_at)
        )""",
        shown="id, active_at, begun_at, expires_at, lot_ends_at, grace_until, begun_seq, lot_seq",
    ),
    Check(
        "nothing_ends_early",
        "No points expire before the end of their lot.",
        """
        SELECT b.program_id, b.member_id, e.seq, e.credit_id, e.at, c.expires_at
        FROM entries e
        JOIN stored_credits c ON c.account = e.account AND c.id = e.credit_id
        LEFT JOIN balances b ON b.account = e.account
        WHERE e.kind = 'expiration' AND (c.expires_at IS NULL OR e.at < c.expires_at OR EXISTS (
            SELECT FROM lot_moves m
            WHERE m.program_id = b.program_id AND m.member_id = b.member_id AND m.credit_id = e.credit_id
              AND m.entry_seq < e.seq AND m.expires_at > e.at
        ))
        """,
    ),
    Check(
        "entries_have_credits",
        "The credit that an entry names exists and belongs to the same member.",
        rows=BOOKED,
        broken="id IS NULL",
        shown="credit_id, begins, begun_seq, clawbacks, ended",
    ),
    Check(
        "ended_in_time",
        "No points are active for more than a minute after the end of their lot.",
        """
        SELECT program_id, member_id, credit_id, remaining, expires_at FROM lots
        WHERE remaining > 0 AND expires_at < CAST(:now AS timestamptz) - interval '1 minute'
        """,
        warning=True,
    ),
)
