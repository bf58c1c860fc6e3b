"""Spending: holds, and what they are for."""

from engage.ledger.checks.check import Check

SPENDING_CHECKS = (
    Check(
        "held_is_sum",
        "What is held is the sum of a member's open holds.",
        """
        SELECT b.program_id, b.member_id, b.held, coalesce(h.points, 0) AS in_open_holds
        FROM balances b
        LEFT JOIN (
            SELECT program_id, member_id, sum(points) AS points FROM holds WHERE state = 'open' GROUP BY 1, 2
        ) h USING (program_id, member_id)
        WHERE b.held <> coalesce(h.points, 0)
        """,
    ),
    Check(
        "holds_have_their_points",
        "An open hold has its points, one that was captured has spent those that did not come back, and any "
        "other has none.",
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
        "holds_give_back_where_they_took",
        "What a hold gives back, it gives back to the lots that it took it from, and no more than it took.",
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
        "An entry that names a hold names one that there is.",
        """
        SELECT e.program_id, e.member_id, e.seq, e.kind, e.hold_id
        FROM entries e
        WHERE e.hold_id IS NOT NULL AND NOT EXISTS (
            SELECT FROM holds h WHERE h.program_id = e.program_id AND h.id = e.hold_id
        )
        """,
    ),
    Check(
        "coupons_fit_holds",
        "A coupon is at an open checkout while it is applied, and at a captured one when it was used; points "
        "were spent on it, once.",
        """
        SELECT c.program_id, c.member_id, c.id, c.kind, c.state, c.points, c.hold_id, h.state AS hold_state,
               c.redemption_id, r.state AS redemption_state, r.points AS redeemed
        FROM coupons c
        LEFT JOIN holds h ON h.program_id = c.program_id AND h.member_id = c.member_id AND h.id = c.hold_id
        LEFT JOIN holds r
            ON r.program_id = c.program_id AND r.member_id = c.member_id AND r.id = c.redemption_id
        WHERE (r.purpose = 'redemption' AND r.state = 'captured' AND r.points = c.points) IS NOT TRUE
           OR (c.state IN ('issued', 'applied')) <> (c.closed_at IS NULL)
           OR CASE WHEN c.state = 'applied' THEN h.state IS DISTINCT FROM 'open'
              WHEN c.state = 'used' AND c.kind = 'coupon' THEN h.state IS DISTINCT FROM 'captured'
              ELSE c.hold_id IS NOT NULL END
        """,
    ),
    Check(
        "redemptions_give_something",
        "Points that were exchanged gave one coupon or code.",
        """
        SELECT h.program_id, h.member_id, h.id, h.points, count(c.id) AS coupons
        FROM holds h
        LEFT JOIN coupons c
            ON c.program_id = h.program_id AND c.member_id = h.member_id AND c.redemption_id = h.id
        WHERE h.purpose = 'redemption' GROUP BY 1, 2, 3, 4 HAVING count(c.id) <> 1
        """,
    ),
    Check(
        "stock_is_counted",
        "Of a reward that there are so many of, no more were given, and each that was counted was given.",
        """
        SELECT c.program_id, c.reward_id, c.given, s.issued AS counted, r.stock
        FROM (SELECT program_id, reward_id, count(*) AS given FROM coupons GROUP BY 1, 2) c
        FULL JOIN reward_stock s USING (program_id, reward_id)
        LEFT JOIN unnest(
            CAST(:reward_programs AS text[]), CAST(:reward_ids AS text[]), CAST(:reward_stocks AS bigint[])
        ) AS r (program_id, reward_id, stock) USING (program_id, reward_id)
        WHERE c.given > r.stock OR s.issued > coalesce(c.given, 0)
        """,
    ),
    Check(
        "withdrawals_fit_holds",
        "A withdrawal's points are held until it is known how it ended; then they are spent, or back.",
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
)
