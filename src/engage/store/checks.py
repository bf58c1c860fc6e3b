"""Checks of tables that belong to no feature, for the audit."""

from collections.abc import Mapping, Sequence
from typing import Any

from engage.audit import Check
from engage.domain.calendar import start_of_day
from engage.domain.program.program import Program


def _beginnings(programs: Sequence[Program]) -> Mapping[str, Any]:
    """The beginning of each version, in the first of its countries."""
    return {
        "programs": [version.id for version in programs],
        "versions": [version.version for version in programs],
        "beginnings": [
            min(start_of_day(version.in_force_from, market.zone) for market in version.countries.values())
            for version in programs
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
