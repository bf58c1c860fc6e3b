"""Checks of what is held for review, for the audit."""

from engage.audit import Check

# An erased member's rows are gone, and a restored credit goes on under its new id.
_HELD = """held_credits h
        LEFT JOIN balances b ON b.program_id = h.program_id AND b.member_id = h.member_id
        LEFT JOIN stored_credits c ON c.account = b.account AND c.id = h.credit_id"""

PROTECTION_CHECKS = (
    Check(
        "held_credits_exist",
        "Each credit that is held for review is a credit of its member, or was left in an account that was "
        "merged into the member's, and belongs to a suspicion.",
        f"""
        SELECT h.program_id, h.member_id, h.credit_id, h.suspicion_id, h.state
        FROM {_HELD} LEFT JOIN suspicions s ON s.id = h.suspicion_id
        WHERE s.id IS NULL OR s.program_id <> h.program_id OR c.id IS NULL AND NOT EXISTS (
            SELECT FROM members m JOIN credits o USING (program_id, member_id)
            WHERE m.program_id = h.program_id AND m.merged_into = h.member_id AND o.id = h.credit_id
        )
        """,  # noqa: S608  # Made of constants, as all queries here.
    ),
    Check(
        "held_points_wait",
        "Points that are held for review and were not released are due later than their hold takes.",
        f"""
        SELECT h.program_id, h.member_id, h.credit_id, c.activity_at, c.due_at, h.hold_s
        FROM {_HELD}
        WHERE h.state = 'open' AND c.due_at < c.activity_at + make_interval(secs => h.hold_s)
        """,  # noqa: S608
    ),
    Check(
        "rejected_points_are_taken",
        "Of a credit that a review has rejected nothing is left.",
        f"""
        SELECT h.program_id, h.member_id, h.credit_id, c.state, c.points, c.taken_back, h.taken
        FROM {_HELD}
        WHERE h.state IN ('rejected', 'restoring') AND c.state = 'pending'
           OR h.taken > c.points
        """,  # noqa: S608
    ),
    Check(
        "restored_once",
        "What was given back after a review was taken before, and is no more than that.",
        """
        SELECT c.program_id, c.member_id, c.id, c.points, o.id AS taken_of, o.points AS taken_points, o.state
        FROM credits c
        LEFT JOIN credits o ON o.program_id = c.program_id
            AND o.id = CAST(substr(c.source_key, length('restored:') + 1) AS uuid)
            AND o.points > 0
        WHERE c.rule_id = 'restored' AND c.points > 0
          AND (o.id IS NULL OR o.state <> 'reversed' OR c.points > o.points)
        """,
    ),
    Check(
        "places_are_counted",
        "A velocity rule has no more places in a window than the suspicion of it says, without a gap.",
        """
        SELECT s.program_id, NULL AS member_id, s.id, s.at_most, p.places, p.highest
        FROM suspicions s
        JOIN (
            SELECT program_id, rule_id, source, of_window, count(*) AS places, max(number) AS highest
            FROM velocity_places GROUP BY 1, 2, 3, 4
        ) p USING (program_id, rule_id, source, of_window)
        WHERE p.places <> p.highest
        """,
    ),
    Check(
        "reviews_are_done",
        "What was decided about suspicions was done within a minute.",
        """
        SELECT h.program_id, h.member_id, h.credit_id, h.state, coalesce(d.undone_at, d.made_at) AS decided_at
        FROM held_credits h LEFT JOIN suspicion_decisions d ON d.id = h.decision_id
        WHERE h.state IN ('releasing', 'rejecting', 'restoring', 'holding')
          AND coalesce(d.undone_at, d.made_at) < CAST(:now AS timestamptz) - interval '1 minute'
        """,
        warning=True,
    ),
)
