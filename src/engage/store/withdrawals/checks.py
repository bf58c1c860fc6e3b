"""Checks of withdrawals, for the audit."""

from engage.audit import Check

WITHDRAWAL_CHECKS = (
    Check(
        "withdrawals_fit_holds",
        "Points of a withdrawal are held while it is open, spent when it is settled and released when it "
        "failed.",
        """
        SELECT coalesce(w.program_id, h.program_id) AS program_id,
               coalesce(w.member_id, h.member_id) AS member_id, w.id, w.state, w.points, w.closed_at,
               h.id AS hold_id, h.state AS hold_state, h.points AS hold_points, e.withdrawn
        FROM withdrawals w
        FULL JOIN (SELECT * FROM holds WHERE purpose = 'withdrawal') h
            ON h.program_id = w.program_id AND h.member_id = w.member_id AND h.id = w.hold_id
        LEFT JOIN (
            -- Maybe of an account that was merged since.
            SELECT program_id, hold_id, sum(house_delta) AS withdrawn
            FROM entries WHERE house_account = 'withdrawn' GROUP BY 1, 2
        ) e ON e.program_id = w.program_id AND e.hold_id = w.hold_id
        WHERE w.points IS DISTINCT FROM h.points
           OR coalesce(e.withdrawn, 0) <> CASE w.state WHEN 'settled' THEN w.points ELSE 0 END
           OR h.state IS DISTINCT FROM CASE w.state WHEN 'settled' THEN 'captured'
                                       WHEN 'failed' THEN 'released' ELSE 'open' END
           OR (w.state IN ('settled', 'failed')) IS DISTINCT FROM (w.closed_at IS NOT NULL)
        """,
    ),
    Check(
        "answered_withdrawals_exist",
        "A withdrawal that was answered under an Idempotency-Key was committed with its answer.",
        """
        SELECT caller, key, answer ->> 'id' AS id
        FROM (
            SELECT caller, key, CAST(convert_from(body, 'UTF8') AS jsonb) AS answer FROM idempotency_keys
            WHERE status = 202 AND position(convert_to('"method"', 'UTF8') IN body) > 0
        ) k
        WHERE answer ? 'method'
          AND NOT EXISTS (SELECT FROM withdrawals w WHERE w.id = CAST(answer ->> 'id' AS uuid))
        """,
    ),
    Check(
        "payouts_checked_in_time",
        "No withdrawal waits for more than a minute to be sent or asked about.",
        """
        SELECT program_id, member_id, id, state, points, ask_at FROM withdrawals
        WHERE state IN ('requested', 'submitted', 'unknown')
          AND ask_at < CAST(:now AS timestamptz) - interval '1 minute'
        """,
        warning=True,
    ),
)
