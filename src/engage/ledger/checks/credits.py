"""Credits: each becomes active once, when it is due, and loses what its clawbacks took."""

from engage.audit import Check
from engage.ledger.checks.booked import BOOKED
from engage.ledger.checks.decided import RULED

CREDIT_CHECKS = (
    Check(
        "earned_once",
        "A credit that is or was active began with one entry and one lot of its points; any other, and "
        "status, has none.",
        rows=BOOKED,
        broken="""id IS NOT NULL AND CASE
            WHEN is_status THEN begins > 0 OR remaining IS NOT NULL
                OR (state = 'active' AND active_at IS NULL)
            WHEN active_at IS NULL THEN begins > 0 OR remaining IS NOT NULL OR state = 'active'
            ELSE state = 'pending' OR begins <> 1 OR remaining IS NULL OR begun_points <> points
                OR lot_points <> points
            END""",
        shown="id, state, points, active_at, begins, begun_points, remaining, lot_points",
    ),
    Check(
        "taken_back_once",
        "The points taken back of a credit are the sum of its clawbacks, which correct the entry that it "
        "began with; with nothing left it is reversed.",
        rows=BOOKED,
        broken="""id IS NOT NULL AND (
            taken_back <> clawed_back + coalesce(taken_back_before, 0)
            OR (clawbacks > 0 AND (corrections <> clawbacks OR first_corrected <> begun_seq
                                   OR last_corrected <> begun_seq))
            OR (state = 'active' AND taken_back >= points)
            OR (state = 'reversed' AND NOT is_status AND active_at IS NOT NULL
                AND taken_back + expired < points)
        )""",
        shown="id, state, points, taken_back, clawed_back, expired, begun_seq, first_corrected, "
        "last_corrected, taken_back_before",
    ),
    Check(
        "never_active_early",
        "No credit is active before it is due or before it was accepted.",
        rows=BOOKED,
        broken="active_at < due_at OR active_at < accepted_at OR begun_at < due_at OR begun_at < accepted_at",
        shown="id, due_at, accepted_at, active_at, begun_at",
    ),
    Check(
        "credits_are_explained",
        "Each credit says why it was granted, or names a decision that exists.",
        rows=RULED,
        broken="NOT explained",
        shown="id, rule_id, source_key",
    ),
    Check(
        "decisions_stay",
        "A decision that credits share is the one whose digest is stored with it.",
        """
        SELECT id, program_version, why FROM decisions
        WHERE digest <> sha256(convert_to(CAST(why AS text), 'UTF8'))
           OR program_version IS DISTINCT FROM why ->> 'version'
        """,
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
        LEFT JOIN balances b USING (program_id, member_id)
        LEFT JOIN stored_credits c ON c.account = b.account AND c.id = r.credit_id
        WHERE c.id IS NULL
        """,
    ),
    Check(
        "keys_are_unique",
        "A member has one credit for each source key, and one for each rule, reference and boost.",
        """
        SELECT b.program_id, b.member_id, c.key, c.rule_id, c.credits
        FROM (
            SELECT account, source_key AS key, NULL AS rule_id, count(*) AS credits
            FROM stored_credits GROUP BY 1, 2 HAVING count(*) > 1
            UNION ALL
            SELECT account, reference, rule_id, count(*)
            FROM stored_credits WHERE reference IS NOT NULL GROUP BY 1, 2, 3, beside HAVING count(*) > 1
        ) c
        LEFT JOIN balances b USING (account)
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
