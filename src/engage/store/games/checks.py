"""Checks of games, for the audit."""

from engage.audit import Check

GAME_CHECKS = (
    Check(
        "plays_are_numbered",
        "The plays of a run are numbered from 1 without gaps, up to the number in its row.",
        """
        SELECT r.program_id, r.game_id, r.run, r.plays, p.plays AS listed, p.first, p.last
        FROM game_runs r
        LEFT JOIN (
            SELECT program_id, game_id, run, count(*) AS plays, min(number) AS first, max(number) AS last
            FROM game_plays GROUP BY 1, 2, 3
        ) p USING (program_id, game_id, run)
        WHERE r.plays <> coalesce(p.plays, 0) OR (r.plays > 0 AND (p.first <> 1 OR p.last <> r.plays))
        """,
    ),
    Check(
        "prizes_are_counted",
        "The prizes of a day are as many as its plays won.",
        """
        SELECT program_id, game_id, run, prize, day, w.won, p.won AS listed
        FROM game_prizes w
        FULL JOIN (
            SELECT program_id, game_id, run, prize, day, count(*) AS won
            FROM game_plays WHERE prize IS NOT NULL GROUP BY 1, 2, 3, 4, 5
        ) p USING (program_id, game_id, run, prize, day)
        WHERE w.won IS DISTINCT FROM p.won
        """,
    ),
    Check(
        "prizes_fit_stock",
        "No more of a prize was won than its stock, and on no day more than its limit.",
        """
        SELECT w.program_id, w.game_id, w.run, w.prize, sum(w.won) AS won, max(w.won) AS on_one_day,
               p.stock, p.per_day
        FROM game_prizes w
        JOIN game_runs r USING (program_id, game_id, run)
        CROSS JOIN LATERAL jsonb_to_recordset(CAST(r.terms AS jsonb) -> 'game' -> 'prizes')
            AS p (id text, stock bigint, per_day bigint)
        WHERE p.id = w.prize
        GROUP BY 1, 2, 3, 4, p.stock, p.per_day
        HAVING sum(w.won) > p.stock OR max(w.won) > p.per_day
        """,
    ),
    Check(
        "prizes_are_paid",
        "Each prize that was won has its credit or its coupon, and no credit of a game is without a play.",
        """
        SELECT p.program_id, p.game_id, p.run, p.number, p.prize, p.credit_id, p.coupon_id
        FROM game_plays p
        WHERE (p.credit_id IS NOT NULL AND NOT EXISTS (
                  SELECT FROM credits c WHERE c.program_id = p.program_id AND c.id = p.credit_id))
           OR (p.coupon_id IS NOT NULL AND NOT EXISTS (
                  SELECT FROM coupons c WHERE c.program_id = p.program_id AND c.id = p.coupon_id))
        UNION ALL
        SELECT c.program_id, c.rule_id, NULL, NULL, NULL, c.id, NULL
        FROM credits c
        WHERE starts_with(c.rule_id, 'game:') AND c.beside IS NULL AND NOT EXISTS (
            SELECT FROM game_plays p WHERE p.program_id = c.program_id AND p.credit_id = c.id
        )
        """,
    ),
    Check(
        "games_are_revealed",
        "A run that has ended is revealed within a minute.",
        """
        SELECT program_id, game_id, run, ends_at FROM game_runs
        WHERE revealed_at IS NULL AND ends_at < CAST(:now AS timestamptz) - interval '1 minute'
        """,
        warning=True,
    ),
)
