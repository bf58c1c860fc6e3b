"""Credits: each becomes active once, when it is due, and loses what its clawbacks took."""

from engage.audit import Check
from engage.domain.keys import MERGE
from engage.ledger.checks.booked import BOOKED

CREDIT_CHECKS = (
    Check(
        "pending_is_sum",
        "The pending balance is the sum of a member's pending credits.",
        """
        SELECT b.program_id, b.member_id, b.pending, coalesce(c.pending, 0) AS credits_pending
        FROM balances b
        LEFT JOIN (
            SELECT program_id, member_id, sum(points) AS pending
            FROM credits WHERE state = 'pending' AND unit = 'points' GROUP BY 1, 2
        ) c USING (program_id, member_id)
        WHERE b.pending <> coalesce(c.pending, 0)
        """,
    ),
    Check(
        "earned_once",
        "A credit that is or was active began with one entry and one lot of its points; any other, and "
        "status, has none.",
        f"""
        SELECT program_id, member_id, id, state, points, active_at, begins, begun_points, lots, lot_points
        FROM ({BOOKED}) c
        WHERE CASE WHEN unit = 'status' THEN begins + lots > 0 OR (state = 'active') > (active_at IS NOT NULL)
              WHEN active_at IS NULL THEN begins + lots > 0 OR state IN ('active', 'expired')
              ELSE state = 'pending' OR begins <> 1 OR lots <> 1 OR begun_points <> points
                   OR lot_points <> points
              END
        """,  # noqa: S608  # Made of constants, as all queries here.
    ),
    Check(
        "taken_back_once",
        "The points taken back of a credit are the sum of its clawbacks, which correct the entry that it "
        "began with; with nothing left it is reversed.",
        f"""
        SELECT c.program_id, c.member_id, c.id, c.state, c.points, c.taken_back, c.clawed_back, c.expired,
               c.begun_seq, c.first_corrected, c.last_corrected, o.taken_back AS taken_back_before
        FROM ({BOOKED}) c
        LEFT JOIN credits o
            ON o.program_id = c.program_id AND o.id = c.id AND c.transferred = '{MERGE}' || o.member_id
        WHERE c.taken_back <> c.clawed_back + coalesce(o.taken_back, 0)
           OR (c.clawbacks > 0 AND (c.corrections <> c.clawbacks OR c.first_corrected <> c.begun_seq
                                    OR c.last_corrected <> c.begun_seq))
           OR (c.state = 'active' AND c.taken_back >= c.points)
           OR (c.state = 'reversed' AND c.unit = 'points' AND c.active_at IS NOT NULL
               AND c.taken_back + coalesce(c.expired, 0) < c.points)
        """,  # noqa: S608
    ),
    Check(
        "never_active_early",
        "No credit is active before it is due or before it was accepted.",
        f"""
        SELECT program_id, member_id, id, due_at, accepted_at, active_at, begun_at
        FROM ({BOOKED}) c
        WHERE active_at < due_at OR active_at < accepted_at OR begun_at < due_at OR begun_at < accepted_at
        """,  # noqa: S608
    ),
    Check(
        "confirmed_are_due",
        "No credit waits for a confirmation that has come in time.",
        """
        SELECT c.program_id, c.member_id, c.id, c.points, c.reference, c.lapses_at, m.confirmed_at
        FROM credits c JOIN confirmations m USING (program_id, member_id, reference)
        WHERE c.state = 'pending' AND c.due_at IS NULL AND c.lapses_at IS NOT NULL
          AND m.confirmed_at <= c.lapses_at
        """,
    ),
    Check(
        "reductions_have_credits",
        "Each reduction belongs to a credit of the same member.",
        """
        SELECT r.program_id, r.member_id, r.credit_id, r.points, r.reference
        FROM reductions r
        LEFT JOIN credits c
            ON c.program_id = r.program_id AND c.member_id = r.member_id AND c.id = r.credit_id
        WHERE c.id IS NULL
        """,
    ),
    Check(
        "keys_are_unique",
        "A member has one credit for each source key, and one for each rule, reference and boost.",
        """
        SELECT program_id, member_id, source_key AS key, NULL AS rule_id, count(*) AS credits
        FROM credits GROUP BY 1, 2, 3 HAVING count(*) > 1
        UNION ALL
        SELECT program_id, member_id, reference, rule_id, count(*)
        FROM credits WHERE reference IS NOT NULL GROUP BY 1, 2, 3, 4, beside HAVING count(*) > 1
        """,
    ),
    Check(
        "lapsed_in_time",
        "No credit waits for a confirmation for more than a minute after its time.",
        """
        SELECT program_id, member_id, id, points, lapses_at FROM credits
        WHERE state = 'pending' AND due_at IS NULL
          AND lapses_at < CAST(:now AS timestamptz) - interval '1 minute'
        """,
        warning=True,
    ),
    Check(
        "settled_in_time",
        "No credit is pending for more than a minute after it is due.",
        """
        SELECT program_id, member_id, id, points, due_at FROM credits
        WHERE state = 'pending' AND due_at < CAST(:now AS timestamptz) - interval '1 minute'
        """,
        warning=True,
    ),
)
