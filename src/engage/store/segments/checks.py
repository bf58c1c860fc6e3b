"""Checks of segments, for the audit."""

from engage.audit import Check

SEGMENT_CHECKS = (
    Check(
        "stays_are_apart",
        "A member is in a segment once at a time.",
        """
        SELECT program_id, member_id, segment_id, since, until, next_since
        FROM (
            SELECT *, lead(since) OVER (PARTITION BY program_id, member_id, segment_id ORDER BY since)
                AS next_since
            FROM segment_members
        ) s
        WHERE next_since < coalesce(until, 'infinity')
        """,
    ),
    Check(
        "stays_follow_versions",
        "Members enter and leave a segment when a version of it begins, and are in it while it is a list.",
        """
        SELECT m.program_id, m.member_id, m.segment_id, m.since, m.until
        FROM segment_members m
        LEFT JOIN segment_versions f USING (program_id, segment_id, since)
        LEFT JOIN segment_versions l
            ON l.program_id = m.program_id AND l.segment_id = m.segment_id AND l.since = m.until
        WHERE f.version IS NULL OR f.computed IS NOT NULL
           OR (m.until IS NULL) <> (l.version IS NULL)
           OR EXISTS (
               SELECT FROM segment_versions v
               WHERE v.program_id = m.program_id AND v.segment_id = m.segment_id AND v.computed IS NOT NULL
                 AND v.since > m.since AND v.since < coalesce(m.until, 'infinity')
           )
        """,
    ),
    Check(
        "stays_are_of_open_accounts",
        "No segment has a member who was merged into another or erased.",
        """
        SELECT m.program_id, m.member_id, s.segment_id, m.merged_into, m.erased_at
        FROM segment_members s JOIN members m USING (program_id, member_id)
        WHERE m.closed_at IS NOT NULL
        """,
    ),
    Check(
        "segments_have_versions",
        "The versions of a segment are numbered without gaps, and begin one after another.",
        """
        SELECT coalesce(s.program_id, v.program_id) AS program_id,
               coalesce(s.segment_id, v.segment_id) AS segment_id, v.version, v.since
        FROM segments s
        FULL JOIN (
            SELECT *, row_number() OVER versions AS number, lag(since) OVER versions AS before
            FROM segment_versions WINDOW versions AS (PARTITION BY program_id, segment_id ORDER BY version)
        ) v USING (program_id, segment_id)
        WHERE s.segment_id IS NULL OR v.version IS NULL OR v.version <> v.number OR v.since <= v.before
        """,
    ),
)
