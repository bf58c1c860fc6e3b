"""Holds: each has its points, in the lots that it took them from."""

from engage.audit import Check

HOLD_CHECKS = (
    Check(
        "holds_have_their_points",
        "An open hold has its points, a captured one has spent those that were not reinstated, and any "
        "other hold has none.",
        """
        SELECT h.program_id, h.member_id, h.id, h.purpose, h.state, h.points, h.reinstated, h.closed_at,
               coalesce(e.taken, 0) AS taken, coalesce(e.held, 0) AS held
        FROM holds h
        LEFT JOIN (
            SELECT program_id, member_id, hold_id AS id, -sum(active_delta) AS taken, sum(held_delta) AS held
            FROM entries WHERE hold_id IS NOT NULL GROUP BY 1, 2, 3
        ) e USING (program_id, member_id, id)
        WHERE coalesce(e.taken, 0) <> CASE h.state WHEN 'open' THEN h.points
                                      WHEN 'captured' THEN h.points - h.reinstated ELSE 0 END
           OR coalesce(e.held, 0) <> CASE h.state WHEN 'open' THEN h.points ELSE 0 END
           OR h.reinstated > CASE h.state WHEN 'captured' THEN h.points ELSE 0 END
           OR (h.state = 'open') <> (h.closed_at IS NULL)
        """,
    ),
    Check(
        "holds_return_to_their_lots",
        "A hold returns points only to lots that it took them from, and no more than it took.",
        """
        SELECT e.program_id, e.member_id, e.hold_id, m.credit_id, sum(m.active_delta) AS given,
               sum(m.held_delta) AS held
        FROM entries e
        JOIN lot_moves m ON m.program_id = e.program_id AND m.member_id = e.member_id AND m.entry_seq = e.seq
        WHERE e.hold_id IS NOT NULL
        GROUP BY 1, 2, 3, 4 HAVING sum(m.active_delta) > 0 OR sum(m.held_delta) < 0
        """,
    ),
    Check(
        "entries_have_holds",
        "The hold that an entry names exists.",
        """
        SELECT e.program_id, e.member_id, e.seq, e.kind, e.hold_id
        FROM entries e
        WHERE e.hold_id IS NOT NULL AND NOT EXISTS (
            SELECT FROM holds h WHERE h.program_id = e.program_id AND h.id = e.hold_id
        )
        """,
    ),
    Check(
        "holds_end_in_time",
        "No hold is open for more than a minute after its end.",
        """
        SELECT program_id, member_id, id, purpose, points, expires_at FROM holds
        WHERE state = 'open' AND expires_at < CAST(:now AS timestamptz) - interval '1 minute'
        """,
        warning=True,
    ),
)
