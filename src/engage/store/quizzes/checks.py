"""Checks of quizzes, for the audit."""

from typing import Final

from engage.audit import Check

QUIZ_CHECKS: Final = (
    # The credit of a merged member may have stayed with the old account, where it was spent.
    Check(
        "attempts_are_paid_once",
        "An attempt that earned points has its credit, and each credit of a quiz is that of one attempt.",
        """
        SELECT a.program_id, a.member_id, a.id AS attempt_id, a.credit_id
        FROM quiz_attempts a
        WHERE a.credit_id IS NOT NULL AND NOT EXISTS (
            SELECT FROM credits c
            WHERE c.program_id = a.program_id AND c.id = a.credit_id
              AND c.why ->> 'rule' = 'quiz:' || a.quiz_id
        )
        UNION ALL
        SELECT c.program_id, c.member_id, NULL, c.id
        FROM credits c
        JOIN members m USING (program_id, member_id)
        LEFT JOIN quiz_attempts a ON a.program_id = c.program_id AND a.credit_id = c.id
        WHERE c.rule_id LIKE 'quiz:%' AND c.beside IS NULL AND c.points > 0 AND m.closed_at IS NULL
        GROUP BY 1, 2, 4 HAVING count(a.id) <> 1
        """,
    ),
    Check(
        "attempts_fit_their_window",
        "Nobody has begun more attempts in a window than the quiz allowed, unless members were merged.",
        """
        SELECT program_id, member_id, quiz_id, of_window, count(*) AS begun, max(allowed) AS allowed
        FROM quiz_attempts a
        WHERE NOT EXISTS (
            SELECT FROM closings c WHERE c.program_id = a.program_id AND c.merged_into = a.member_id
        )
        GROUP BY 1, 2, 3, 4 HAVING count(*) > max(allowed)
        """,
    ),
)
