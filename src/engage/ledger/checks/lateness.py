"""What is late is not wrong: it is told, and breaks nothing."""

from engage.ledger.checks.check import Check
from engage.ledger.checks.rules import RULES

LATENESS_CHECKS = (
    Check(
        "settled_in_time",
        "No credit is pending for more than a minute after it fell due.",
        """
        SELECT program_id, member_id, id, points, due_at FROM credits
        WHERE state = 'pending' AND due_at < CAST(:now AS timestamptz) - interval '1 minute'
        """,
        warning=True,
    ),
    Check(
        "promised_in_time",
        "Nobody waits for points for longer than the program's members were told.",
        f"""
        SELECT c.program_id, c.member_id, c.id, c.rule_id, c.points, c.activity_at, c.due_at, r.promise
        FROM credits c JOIN ({RULES}) r USING (program_id, program_version, rule_id)
        WHERE c.state = 'pending' AND c.activity_at + r.promise < CAST(:now AS timestamptz)
        """,  # noqa: S608  # Made of constants.
        warning=True,
    ),
    Check(
        "ended_in_time",
        "No points are left for more than a minute after the end of their lot.",
        """
        SELECT program_id, member_id, credit_id, remaining, expires_at FROM lots
        WHERE remaining > 0 AND expires_at < CAST(:now AS timestamptz) - interval '1 minute'
        """,
        warning=True,
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
    Check(
        "coupons_end_in_time",
        "No coupon is good for more than a minute after its end.",
        """
        SELECT program_id, member_id, id, reward_id, expires_at FROM coupons
        WHERE state = 'issued' AND expires_at < CAST(:now AS timestamptz) - interval '1 minute'
        """,
        warning=True,
    ),
    Check(
        "payouts_are_asked_about",
        "No withdrawal waits for more than a minute to be sent or asked about.",
        """
        SELECT program_id, member_id, id, state, points, ask_at FROM withdrawals
        WHERE state IN ('requested', 'submitted', 'unknown')
          AND ask_at < CAST(:now AS timestamptz) - interval '1 minute'
        """,
        warning=True,
    ),
    Check(
        "told_in_time",
        "No change of a balance is untold for more than a minute.",
        """
        SELECT id, created_at, cause, cardinality(member_ids) AS members FROM outbox
        WHERE created_at < CAST(:wall AS timestamptz) - interval '1 minute'
        """,
        warning=True,
    ),
)
