"""Checks of coupons and of the stock of rewards, for the audit."""

from typing import Any

from engage.audit import Check, Published
from engage.domain.keys import RewardKey


def stock_limits(published: Published) -> dict[str, list[Any]]:
    """The largest stock of each reward that was never without a limit, as columns."""
    rewards = [(program.id, reward) for program in published.programs for reward in program.rewards]
    unlimited = {(program_id, reward.id) for program_id, reward in rewards if reward.stock is None}
    stocks: dict[RewardKey, int] = {}
    for program_id, reward in rewards:
        key = (program_id, reward.id)
        if reward.stock is not None and key not in unlimited:
            stocks[key] = max(reward.stock, stocks.get(key, 0))
    return {
        "reward_programs": [program_id for program_id, _ in stocks],
        "reward_ids": [reward_id for _, reward_id in stocks],
        "reward_stocks": list(stocks.values()),
    }


REWARD_CHECKS = (
    Check(
        "coupons_fit_holds",
        "A coupon is applied at an open checkout or used at a captured one, and was paid for once.",
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
        "redemptions_issue_rewards",
        "Each redemption issued one coupon or code.",
        """
        SELECT h.program_id, h.member_id, h.id, h.points, count(c.id) AS coupons
        FROM holds h
        LEFT JOIN coupons c
            ON c.program_id = h.program_id AND c.member_id = h.member_id AND c.redemption_id = h.id
        WHERE h.purpose = 'redemption' GROUP BY 1, 2, 3, 4 HAVING count(c.id) <> 1
        """,
    ),
    Check(
        "answered_redemptions_exist",
        "A redemption that was answered under an Idempotency-Key was committed with its answer.",
        """
        SELECT caller, key, answer ->> 'redemption_id' AS redemption_id
        FROM (
            SELECT caller, key, CAST(convert_from(body, 'UTF8') AS jsonb) AS answer FROM idempotency_keys
            WHERE status = 201 AND position(convert_to('"redemption_id"', 'UTF8') IN body) > 0
        ) k
        WHERE answer ? 'redemption_id' AND NOT EXISTS (
            SELECT FROM coupons c WHERE c.redemption_id = CAST(answer ->> 'redemption_id' AS uuid)
        )
        """,
    ),
    Check(
        "stock_is_counted",
        "No more of a limited reward was issued than its stock, and no more is counted than was issued, also"
        " at the price of a campaign.",
        """
        SELECT c.program_id, c.reward_id, c.given, s.issued AS counted, r.stock
        FROM (
            SELECT program_id, reward_id, count(*) AS given FROM coupons GROUP BY 1, 2
            UNION ALL
            SELECT program_id, reward_id || '@' || campaign, count(*) FROM coupons
            WHERE campaign IS NOT NULL GROUP BY 1, 2
        ) c
        FULL JOIN reward_stock s USING (program_id, reward_id)
        LEFT JOIN unnest(
            CAST(:reward_programs AS text[]), CAST(:reward_ids AS text[]), CAST(:reward_stocks AS bigint[])
        ) AS r (program_id, reward_id, stock) USING (program_id, reward_id)
        WHERE c.given > r.stock OR s.issued > coalesce(c.given, 0)
        """,
        parameters=stock_limits,
    ),
    Check(
        "coupons_end_in_time",
        "No coupon is issued for more than a minute after its end.",
        """
        SELECT program_id, member_id, id, reward_id, expires_at FROM coupons
        WHERE state = 'issued' AND expires_at < CAST(:now AS timestamptz) - interval '1 minute'
        """,
        warning=True,
    ),
)
