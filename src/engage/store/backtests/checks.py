"""Checks of backtests, for the audit."""

from engage.audit import Check

BACKTEST_CHECKS = (
    Check(
        "grants_are_posted",
        "Each gain of a backtest that was granted is an adjustment with these points, once.",
        """
        SELECT g.program_id, g.backtest_id, g.member_id, g.granted_points, count(a.*) AS adjustments,
               sum(a.points) AS adjusted
        FROM backtest_gains g
        JOIN members m ON m.program_id = g.program_id AND m.member_id = g.member_id AND m.erased_at IS NULL
        LEFT JOIN adjustments a
            ON a.program_id = g.program_id
           AND a.reference = 'backtest:' || g.backtest_id || ':' || g.member_id
        WHERE g.granted_points IS NOT NULL
        GROUP BY g.program_id, g.backtest_id, g.member_id, g.granted_points
        HAVING coalesce(sum(a.points), 0) <> g.granted_points
        """,
    ),
    Check(
        "windows_are_granted_once",
        "No two backtests of a campaign were granted for the same time.",
        """
        SELECT a.program_id, a.campaign_id, a.id, b.id AS other, a.from_at, a.until_at, b.from_at, b.until_at
        FROM backtests a
        JOIN backtests b
            ON b.program_id = a.program_id AND b.campaign_id = a.campaign_id AND b.id > a.id
           AND b.from_at < a.until_at AND b.until_at > a.from_at
        WHERE a.granted_at IS NOT NULL AND b.granted_at IS NOT NULL
        """,
    ),
    Check(
        "parts_are_apart",
        "The parts of a backtest that runs follow each other, without a gap or an overlap.",
        """
        SELECT * FROM (
            SELECT p.program_id, p.backtest_id, p.after_member, p.to_member,
                   lag(p.to_member, 1, '') OVER (PARTITION BY p.program_id, p.backtest_id
                                                 ORDER BY p.after_member) AS before
            FROM backtest_parts p
            JOIN backtests b ON b.program_id = p.program_id AND b.id = p.backtest_id
            WHERE b.state = 'running'
        ) p WHERE p.after_member <> p.before
        """,
    ),
)
