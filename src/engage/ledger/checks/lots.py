"""Lots: the rest of each lot is the sum of its movements, and lots cover balances."""

from engage.audit import Check
from engage.domain.keys import MERGE
from engage.ledger.checks.booked import BOOKED

# Lots that got another end when spent points came back to them: the newest.
_GRACES = """
SELECT DISTINCT ON (program_id, member_id, credit_id) program_id, member_id, credit_id, expires_at
FROM lot_moves WHERE expires_at IS NOT NULL
ORDER BY program_id, member_id, credit_id, entry_seq DESC
"""

LOT_CHECKS = (
    Check(
        "lots_cover_balances",
        "A member's lots sum to the active balance, and the moves of lots into holds to the held balance.",
        """
        SELECT b.program_id, b.member_id, b.active, coalesce(l.remaining, 0) AS remaining, b.held,
               coalesce(m.held, 0) AS moved_to_holds
        FROM balances b
        LEFT JOIN (SELECT program_id, member_id, sum(remaining) AS remaining FROM lots GROUP BY 1, 2) l
            USING (program_id, member_id)
        LEFT JOIN (SELECT program_id, member_id, sum(held_delta) AS held FROM lot_moves GROUP BY 1, 2) m
            USING (program_id, member_id)
        WHERE b.active <> coalesce(l.remaining, 0) OR b.held <> coalesce(m.held, 0)
        """,
    ),
    Check(
        "lots_add_up",
        "The rest of a lot is the sum of its movements, its expired points are those of its expirations, "
        "and holds return no more of it than they took.",
        f"""
        SELECT l.program_id, l.member_id, l.credit_id, l.points, l.remaining, m.active AS moved,
               l.expired, b.ended, o.expired AS expired_before, m.held
        FROM lots l
        LEFT JOIN (
            SELECT program_id, member_id, credit_id, sum(active_delta) AS active, sum(held_delta) AS held
            FROM lot_movements GROUP BY 1, 2, 3
        ) m ON m.program_id = l.program_id AND m.member_id = l.member_id AND m.credit_id = l.credit_id
        LEFT JOIN ({BOOKED}) b
            ON b.program_id = l.program_id AND b.member_id = l.member_id AND b.id = l.credit_id
        LEFT JOIN lots o
            ON o.program_id = l.program_id AND o.credit_id = l.credit_id
           AND b.transferred = '{MERGE}' || o.member_id
        WHERE l.remaining <> coalesce(m.active, 0) OR m.held < 0
           OR l.expired <> coalesce(b.ended, 0) + coalesce(o.expired, 0)
        """,  # noqa: S608  # Made of constants, as all queries here.
    ),
    Check(
        "moves_match_entries",
        "The moves of an entry sum to its legs, and are moves of existing lots.",
        """
        SELECT e.program_id, e.member_id, e.seq, e.kind, NULL AS credit_id, e.active_delta, e.held_delta,
               m.active AS moved_active, m.held AS moved_held
        FROM entries e
        LEFT JOIN (
            SELECT program_id, member_id, entry_seq AS seq, sum(active_delta) AS active,
                   sum(held_delta) AS held
            FROM lot_moves GROUP BY 1, 2, 3
        ) m USING (program_id, member_id, seq)
        WHERE coalesce(m.held, 0) <> e.held_delta OR coalesce(m.active, 0)
            <> CASE WHEN e.credit_id IS NOT NULL AND e.kind <> 'clawback' THEN 0 ELSE e.active_delta END
        UNION ALL
        SELECT m.program_id, m.member_id, m.entry_seq, e.kind, m.credit_id, e.active_delta, e.held_delta,
               m.active_delta, m.held_delta
        FROM lot_moves m
        LEFT JOIN entries e
            ON e.program_id = m.program_id AND e.member_id = m.member_id AND e.seq = m.entry_seq
        LEFT JOIN lots l
            ON l.program_id = m.program_id AND l.member_id = m.member_id AND l.credit_id = m.credit_id
        WHERE l.credit_id IS NULL OR e.at IS DISTINCT FROM m.at
        """,
    ),
    Check(
        "lots_match_credits",
        "A lot begins with the entry of its credit, and ends with its credit, or later where spent "
        "points were reinstated.",
        f"""
        SELECT c.program_id, c.member_id, c.id, c.active_at, c.lot_active_at, c.expires_at, c.lot_expires_at,
               g.expires_at AS grace_until, c.begun_seq, c.entry_seq
        FROM ({BOOKED}) c
        LEFT JOIN ({_GRACES}) g
            ON g.program_id = c.program_id AND g.member_id = c.member_id AND g.credit_id = c.id
        LEFT JOIN lots o
            ON o.program_id = c.program_id AND o.credit_id = c.id AND c.transferred = '{MERGE}' || o.member_id
        WHERE c.lots > 0 AND (c.lot_active_at IS DISTINCT FROM c.active_at
            OR c.entry_seq IS DISTINCT FROM c.begun_seq
            OR c.lot_expires_at IS DISTINCT FROM coalesce(g.expires_at, o.expires_at, c.expires_at))
        UNION ALL
        SELECT l.program_id, l.member_id, l.credit_id, NULL, l.active_at, NULL, l.expires_at, NULL, NULL,
               l.entry_seq
        FROM lots l
        WHERE NOT EXISTS (
            SELECT FROM credits c
            WHERE (c.program_id, c.member_id, c.id) = (l.program_id, l.member_id, l.credit_id)
        )
        """,  # noqa: S608
    ),
    Check(
        "nothing_ends_early",
        "No points expire before the end of their lot.",
        """
        SELECT e.program_id, e.member_id, e.seq, e.credit_id, e.at, c.expires_at
        FROM entries e
        JOIN credits c ON c.program_id = e.program_id AND c.member_id = e.member_id AND c.id = e.credit_id
        WHERE e.kind = 'expiration' AND (c.expires_at IS NULL OR e.at < c.expires_at OR EXISTS (
            SELECT FROM lot_moves m
            WHERE m.program_id = e.program_id AND m.member_id = e.member_id AND m.credit_id = e.credit_id
              AND m.entry_seq < e.seq AND m.expires_at > e.at
        ))
        """,
    ),
    Check(
        "entries_have_credits",
        "The credit that an entry names exists and belongs to the same member.",
        """
        SELECT e.program_id, e.member_id, e.seq, e.kind, e.credit_id
        FROM entries e
        WHERE e.credit_id IS NOT NULL AND NOT EXISTS (
            SELECT FROM credits c
            WHERE (c.program_id, c.member_id, c.id) = (e.program_id, e.member_id, e.credit_id)
        )
        """,
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
