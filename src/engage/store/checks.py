"""Checks of tables that belong to no feature, for the audit."""

from collections.abc import Mapping
from typing import Any

from engage.audit import Check, Published
from engage.domain.calendar import start_of_day
from engage.store.audit_log import digest_sql


def _beginnings(published: Published) -> Mapping[str, Any]:
    """The beginning of each version, in the first of its countries."""
    return {
        "programs": [version.id for version in published.programs],
        "versions": [version.version for version in published.programs],
        "beginnings": [
            min(start_of_day(version.in_force_from, market.zone) for market in version.countries.values())
            for version in published.programs
        ],
    }


STORE_CHECKS = (
    Check(
        "past_stays",
        "No version began before it was published in a program that had members, outside a sandbox.",
        """
        SELECT v.program_id, v.version, b.begins_at, v.published_at
        FROM program_versions v
        JOIN unnest(
            CAST(:programs AS text[]), CAST(:versions AS text[]), CAST(:beginnings AS timestamptz[])
        ) b (program_id, version, begins_at) USING (program_id, version)
        WHERE b.begins_at <= v.published_at
          AND EXISTS (
              SELECT FROM members m WHERE m.program_id = v.program_id AND m.joined_at < v.published_at
          )
          AND NOT EXISTS (SELECT FROM sandbox_clock)
        """,
        parameters=_beginnings,
    ),
    Check(
        "audit_log_stays",
        "No entry of the audit log was changed or removed, the newest ones included.",
        f"""
        SELECT seq, subject, action, at FROM (
            SELECT l.*, row_number() OVER newer AS number, lag(digest, 1, ''::bytea) OVER newer AS previous
            FROM audit_log l WINDOW newer AS (ORDER BY seq)
        ) e
        WHERE seq <> number OR digest <> {digest_sql("e.previous", "e.seq", "e")}
        UNION ALL
        SELECT coalesce(h.seq, l.seq), 'the head', 'differs', NULL
        FROM audit_log_head h FULL JOIN (SELECT seq, digest FROM audit_log ORDER BY seq DESC LIMIT 1) l
            ON (l.seq, l.digest) = (h.seq, h.digest)
        WHERE h.seq IS NULL OR l.seq IS NULL
        """,  # noqa: S608  # Names of the schema.
    ),
    Check(
        "published_versions_stay",
        "Each version of a program is the document that the audit log says was published.",
        """
        SELECT l.program_id, l.after ->> 'version' AS version, l.at AS published_at
        FROM audit_log l
        LEFT JOIN program_versions v ON v.program_id = l.program_id AND v.version = l.after ->> 'version'
        WHERE l.subject = 'program:' || l.program_id AND l.action = 'published'
          AND l.after ->> 'sha256' IS DISTINCT FROM encode(sha256(convert_to(v.document, 'UTF8')), 'hex')
        """,
    ),
    Check(
        "published_in_time",
        "No balance change waits for more than a minute to be published.",
        """
        SELECT id, written_at, cause, cardinality(member_ids) AS members FROM outbox
        WHERE written_at < CAST(:wall AS timestamptz) - interval '1 minute'
        """,
        warning=True,
    ),
    Check(
        "reactions_done",
        "What follows from the facts of a member has not failed several times.",
        "SELECT program_id, member_ids, tries FROM member_changes WHERE tries >= 3",
        warning=True,
    ),
)
