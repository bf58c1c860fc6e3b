"""Checks of campaigns for the audit."""

from engage.audit import Check
from engage.store.campaigns.budgets import KEPT

CAMPAIGN_CHECKS = (
    Check(
        "budgets_hold",
        "What a campaign has granted to present members and what is left of its budget is no more than its"
        " total.",
        f"""
        SELECT b.program_id, b.campaign_id, b.points, b.count, l.points_left, l.count_left,
               g.points AS granted, g.count AS credits
        FROM campaign_budgets b
        CROSS JOIN LATERAL (
            SELECT sum(s.points_left) AS points_left, sum(s.count_left) AS count_left
            FROM campaign_budget_slices s
            WHERE s.program_id = b.program_id AND s.campaign_id = b.campaign_id
        ) l
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(r.points), 0) AS points, coalesce(sum(r.count), 0) AS count
            FROM campaign_budget_returns r
            WHERE r.program_id = b.program_id AND r.campaign_id = b.campaign_id
        ) r
        CROSS JOIN LATERAL (
            SELECT coalesce(sum({KEPT}), 0) AS points, count(*) FILTER (WHERE {KEPT} > 0) AS count
            FROM credits c JOIN members m USING (program_id, member_id)
            WHERE c.program_id = b.program_id AND c.campaign = b.campaign_id AND c.unit = 'points'
              AND m.merged_into IS NULL AND m.erased_at IS NULL
        ) g
        WHERE g.points + r.points + l.points_left > b.points OR g.count + r.count + l.count_left > b.count
        """,  # noqa: S608  # Names of the schema.
    ),
)
