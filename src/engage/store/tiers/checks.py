"""Checks of stored levels: they are those of their history, and of members who are here."""

from engage.audit import Check

TIER_CHECKS = (
    Check(
        "levels_follow_their_history",
        "A stored level is the one that the last change of its group led to, and each change goes on from "
        "the one before it.",
        """
        SELECT coalesce(t.program_id, c.program_id) AS program_id,
               coalesce(t.member_id, c.member_id) AS member_id, coalesce(t.group_id, c.group_id) AS group_id,
               t.level, t.since, c.level AS last_level, c.at AS last_at
        FROM tiers t
        FULL JOIN (
            SELECT DISTINCT ON (program_id, member_id, group_id) program_id, member_id, group_id, level, at
            FROM level_changes ORDER BY program_id, member_id, group_id, number DESC
        ) c USING (program_id, member_id, group_id)
        WHERE (c.group_id IS NOT NULL AND (t.level, t.since) IS DISTINCT FROM (c.level, c.at))
           OR (c.group_id IS NULL AND t.since IS NOT NULL)
        UNION ALL
        SELECT program_id, member_id, group_id, level, at, came_from, came_at
        FROM (
            SELECT *, lag(level) OVER steps AS came_from, lag(at) OVER steps AS came_at,
                   lag(number, 1, 0) OVER steps AS came_number
            FROM level_changes WINDOW steps AS (PARTITION BY program_id, member_id, group_id ORDER BY number)
        ) s
        WHERE number <> came_number + 1
           OR (number > 1 AND (before IS DISTINCT FROM came_from OR at < came_at))
        """,
    ),
    Check(
        "former_members_have_no_level",
        "Nothing is stored of the levels of merged and erased members.",
        """
        SELECT t.program_id, t.member_id, t.group_id, m.closed_at
        FROM tiers t JOIN members m USING (program_id, member_id) WHERE m.closed_at IS NOT NULL
        UNION ALL
        SELECT t.program_id, t.member_id, t.group_id, m.closed_at
        FROM level_changes t JOIN members m USING (program_id, member_id) WHERE m.closed_at IS NOT NULL
        """,
    ),
    Check(
        "levels_end_in_time",
        "No stored level lasts for more than a minute after its end.",
        """
        SELECT program_id, member_id, group_id, level, keeps_until FROM tiers
        WHERE keeps_until < CAST(:now AS timestamptz) - interval '1 minute'
        """,
        warning=True,
    ),
)
