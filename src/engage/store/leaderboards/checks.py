"""Checks of leaderboards, for the audit."""

from engage.audit import Check

LEADERBOARD_CHECKS = (
    Check(
        "scores_have_periods",
        "A score stands in a period of its board.",
        """
        SELECT s.program_id, s.member_id, s.board_id, s.period FROM board_scores s
        WHERE NOT EXISTS (
            SELECT FROM board_periods p
            WHERE p.program_id = s.program_id AND p.board_id = s.board_id AND p.period = s.period
        )
        """,
    ),
    Check(
        "boards_pay_closed_periods",
        "A prize of a leaderboard is of a rank that a closed period pays.",
        """
        SELECT c.program_id, c.member_id, c.id, c.source_key
        FROM credits c
        WHERE starts_with(c.rule_id, 'leaderboard:') AND c.why -> 'inputs' ->> 'rank' IS NOT NULL
          AND NOT EXISTS (
            SELECT FROM board_periods p
            WHERE p.program_id = c.program_id AND 'leaderboard:' || p.board_id = c.rule_id
              AND p.period = c.why -> 'inputs' ->> 'period'
              AND CAST(c.why -> 'inputs' ->> 'rank' AS bigint) <= p.paid_to AND p.closed_at IS NOT NULL
          )
        """,
    ),
    Check(
        "periods_close_in_time",
        "A period is closed and paid within a minute of its end.",
        """
        SELECT program_id, board_id, period, closes_at, closed_at, prizes_to, paid_to FROM board_periods
        WHERE (closed_at IS NULL OR paid_to < prizes_to)
          AND closes_at < CAST(:now AS timestamptz) - interval '1 minute'
        """,
        warning=True,
    ),
)
