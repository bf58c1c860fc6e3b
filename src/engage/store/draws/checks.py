"""Checks of draws, for the audit.

SQL cannot compute a root; `engage draw verify` does, on the certificate.
"""

from engage.audit import Check

# The canonical JSON that an entry's digest is of. None of its values has a character that JSON escapes.
_RECEIPT = """
'{"draw_id":"' || e.draw_id || '","member_id":"' || e.entered_as || '","number":' || e.number
    || ',"program":"' || e.program_id || '","salt":"' || e.salt || '"}'
"""

DRAW_CHECKS = (
    Check(
        "entries_are_listed",
        "Every entry of a frozen draw is in its list with the digest of its receipt.",
        f"""
        SELECT e.program_id, e.member_id, e.draw_id, e.number, d.state, e.hash, l.hash AS listed
        FROM draw_entries e
        JOIN draws d USING (program_id, draw_id)
        LEFT JOIN draw_list l USING (program_id, draw_id, number)
        WHERE e.hash <> encode(sha256(convert_to({_RECEIPT}, 'UTF8')), 'hex')
           OR (d.state = 'open') <> (l.number IS NULL)
           OR l.hash <> e.hash
           OR e.number > d.last_number
        """,  # noqa: S608  # Names of the schema.
    ),
    Check(
        "lists_stay_frozen",
        "A frozen list has the entries that its root is over, and a drawn one as many winners as prizes, or "
        "as entries.",
        """
        SELECT d.program_id, d.draw_id, d.state, d.entries, l.listed, d.prizes, l.winners, l.last_place
        FROM draws d
        LEFT JOIN (
            SELECT program_id, draw_id, count(*) AS listed, count(place) AS winners, max(place) AS last_place
            FROM draw_list GROUP BY 1, 2
        ) l USING (program_id, draw_id)
        WHERE coalesce(l.listed, 0) <> coalesce(d.entries, 0)
           OR coalesce(l.winners, 0) <> CASE d.state WHEN 'drawn' THEN least(d.prizes, d.entries) ELSE 0 END
           OR l.winners <> l.last_place
           OR (d.state IN ('frozen', 'drawn') AND d.root IS NULL)
        """,
    ),
    Check(
        "prizes_are_paid_to_winners",
        "A prize is noted as paid exactly if the winner has its credit, and nobody else has one.",
        """
        SELECT coalesce(e.program_id, c.program_id) AS program_id,
               coalesce(e.member_id, c.member_id) AS member_id, e.draw_id, e.number, l.place, e.prize_at,
               e.paid_at, c.credits
        FROM (
            SELECT e.*, 'draw:' || e.draw_id || ':' || e.number AS key FROM draw_entries e
        ) e
        LEFT JOIN draw_list l USING (program_id, draw_id, number)
        FULL JOIN (
            SELECT program_id, source_key AS key, min(member_id) AS member_id,
                   count(*) FILTER (WHERE rule_id = 'draw:' || (why -> 'inputs' ->> 'draw')) AS credits
            FROM credits WHERE starts_with(rule_id, 'draw:') AND why -> 'inputs' ? 'draw' GROUP BY 1, 2
        ) c USING (program_id, key)
        WHERE (e.prize_at IS NOT NULL) <> (l.place IS NOT NULL)
           OR (e.paid_at IS NOT NULL) <> (c.credits IS NOT NULL)
           OR e.number IS NULL
        """,
    ),
    Check(
        "draws_go_on_in_time",
        "No list waits for more than a minute to be frozen, no draw for more than ten minutes for its round, "
        "no prize for more than a minute to be paid.",
        """
        SELECT program_id, draw_id, state, coalesce(round_at, closes_at) AS since FROM draws
        WHERE (state = 'open' AND closes_at < CAST(:now AS timestamptz) - interval '1 minute')
           OR (state = 'frozen' AND round_at < CAST(:now AS timestamptz) - interval '10 minutes')
        UNION ALL
        SELECT program_id, draw_id, 'prize', prize_at FROM draw_entries
        WHERE paid_at IS NULL AND NOT withheld AND prize_at < CAST(:now AS timestamptz) - interval '1 minute'
        """,
        warning=True,
    ),
)
