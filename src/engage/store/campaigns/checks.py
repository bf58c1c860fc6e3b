"""Checks of campaigns for the audit."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from engage.audit import Check, Published
from engage.domain.campaigns.index import PublishedCampaign
from engage.domain.earning.order_facts import SKEW
from engage.domain.earning.trace import TraceCode
from engage.domain.keys import ADJUSTMENT_RULE
from engage.store.campaigns.budgets import KEPT

# What an activity earned by a campaign: beside a base credit, or by a rule of its own. Prizes of definitions,
# grants in retrospect and what an erasure left are none of it.
_EARNED = f"""c.campaign IS NOT NULL AND c.points > 0 AND position(':' IN c.rule_id) = 0
    AND c.rule_id <> '{ADJUSTMENT_RULE}' AND c.why -> 'trace' -> 0 ->> 0 <> '{TraceCode.ERASED}'"""

# The version that decided: a boost names it in its trace, the credit of a rule in the name of its terms.
_VERSION = """CASE WHEN c.beside IS NULL THEN split_part(c.program_version, '#', 2)
    ELSE c.why -> 'trace' -> 0 -> 1 ->> 'version' END"""


def _times_in_force(published: Published) -> dict[str, list[Any]]:
    """The times in which versions of campaigns were in force in the zones of their programs, as columns."""
    zones: dict[str, set[str]] = {}
    for program in published.programs:
        zones.setdefault(program.id, set()).update(market.zone for market in program.countries.values())
    rows = [
        (each.campaign.program, each.id, each.version, zone, *times)
        for each in published.campaigns
        for zone in sorted(zones[each.campaign.program])
        for times in _within(each, zone)
    ]
    names = ("programs", "ids", "versions", "zones", "starts", "ends")
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    return {f"campaign_{name}": list(column) for name, column in zip(names, columns, strict=True)}


def _within(published: PublishedCampaign, zone: str) -> Iterator[tuple[datetime, datetime]]:
    begin, end = published.campaign.begins_at(zone), published.campaign.ends_at(zone)
    for interval in published.intervals:
        start, until = max(begin, interval.start), min(end, interval.end or end)
        if start < until:
            yield start, until


def _limits_of_members(published: Published) -> dict[str, list[Any]]:
    """The largest `points_per_member` of campaigns that have one in each version, as columns."""
    limits: dict[tuple[str, str], list[int | None]] = {}
    for each in published.campaigns:
        budget = each.campaign.budget
        limit = None if budget is None else budget.points_per_member
        limits.setdefault((each.campaign.program, each.id), []).append(limit)
    found = {key: max(known) for key, own in limits.items() if len(known := [*filter(None, own)]) == len(own)}
    return {
        "limited_programs": [program_id for program_id, _ in found],
        "limited_campaigns": [campaign_id for _, campaign_id in found],
        "limited_points": [*found.values()],
    }


CAMPAIGN_CHECKS = (
    Check(
        "campaigns_were_in_force",
        "What a campaign pays was earned while the version that decided it was in force.",
        # The shop's clock may be ahead: such an order is judged when it is reported.
        f"""
        SELECT c.program_id, c.member_id, c.id, c.campaign, {_VERSION} AS version, c.rule_id, c.activity_at,
               c.accepted_at
        FROM credits c
        WHERE {_EARNED} AND NOT EXISTS (
            SELECT FROM unnest(
                CAST(:campaign_programs AS text[]), CAST(:campaign_ids AS text[]),
                CAST(:campaign_versions AS int[]), CAST(:campaign_zones AS text[]),
                CAST(:campaign_starts AS timestamptz[]), CAST(:campaign_ends AS timestamptz[])
            ) AS f (program_id, campaign, version, zone, starts, ends)
            WHERE f.program_id = c.program_id AND f.campaign = c.campaign
              AND CAST(f.version AS text) = {_VERSION} AND f.zone = c.why ->> 'zone'
              AND CASE WHEN c.why -> 'activity' ->> 'activity' = 'order'
                  THEN f.starts <= c.activity_at
                      AND f.ends > c.activity_at - interval '{SKEW.total_seconds()} seconds'
                  ELSE f.starts <= least(c.activity_at, c.accepted_at)
                      AND f.ends > least(c.activity_at, c.accepted_at)
                  END
        )
        """,  # noqa: S608  # Made of constants, as all queries here.
        parameters=_times_in_force,
    ),
    Check(
        "campaigns_pay_what_they_say",
        "A boost of a campaign is beside a credit of its own, and no more than its trace says.",
        f"""
        SELECT c.program_id, c.member_id, c.id, c.campaign, c.beside, c.source_key, c.points, c.why -> 'trace'
        FROM credits c
        LEFT JOIN credits b
            ON b.program_id = c.program_id AND b.member_id = c.member_id
           AND b.source_key = left(c.source_key, length(c.source_key) - length(c.beside) - 1)
        WHERE {_EARNED} AND c.beside IS NOT NULL AND (
            c.beside <> c.campaign OR b.id IS NULL
            OR c.points > CAST(c.why -> 'trace' -> 0 -> 1 ->> 'points' AS bigint)
        )
        """,  # noqa: S608
    ),
    Check(
        "budgets_hold",
        "What a campaign has granted to present members and what is left of its budget is no more than its"
        " total.",
        f"""
        SELECT b.program_id, b.campaign_id, b.points, b.count, l.points_left, l.count_left,
               g.points AS granted, g.count AS credits
        FROM campaign_budgets b
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(s.points_left), 0) AS points_left,
                   coalesce(sum(s.count_left), 0) AS count_left
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
    Check(
        "members_keep_to_budgets",
        "A campaign has granted no member more than the largest limit that any of its versions had.",
        # Two members who became one have had it twice, and grants in retrospect have limits of their own.
        f"""
        SELECT l.program_id, l.campaign, c.member_id, sum({KEPT}) AS granted, l.points AS "limit"
        FROM unnest(
            CAST(:limited_programs AS text[]), CAST(:limited_campaigns AS text[]),
            CAST(:limited_points AS bigint[])
        ) AS l (program_id, campaign, points)
        JOIN credits c USING (program_id, campaign)
        WHERE c.unit = 'points' AND c.rule_id <> '{ADJUSTMENT_RULE}' AND NOT EXISTS (
            SELECT FROM members m WHERE m.program_id = c.program_id AND m.merged_into = c.member_id
        )
        GROUP BY 1, 2, 3, 5 HAVING sum({KEPT}) > l.points
        """,  # noqa: S608
        parameters=_limits_of_members,
    ),
)
