"""Members: rows belong to members, and closed accounts are empty."""

from engage.audit import Check
from engage.schema.member_rows import tables_of_members
from engage.schema.members import members

_OF_MEMBERS = "\n            UNION ALL ".join(
    f"SELECT '{table.name}' AS of, program_id, member_id FROM {table.name}"  # noqa: S608  # Names of the schema.
    for table, _ in tables_of_members()
    if "member_id" in table.c and table is not members
)

# Members without a row in a table that has one for each.
_WITHOUT_ROWS = "\n        UNION ALL ".join(
    f"""
        SELECT '{table.name}' AS of, m.program_id, m.member_id FROM members m
        LEFT JOIN {table.name} t USING (program_id, member_id) WHERE t.member_id IS NULL"""  # noqa: S608
    for table, policies in tables_of_members()
    if policies.join
)

MEMBER_CHECKS = (
    Check(
        "rows_have_members",
        "Every row belongs to an existing member.",
        f"""
        SELECT t.of, t.program_id, t.member_id, count(*) AS rows
        FROM (
            {_OF_MEMBERS}
        ) t
        LEFT JOIN members m USING (program_id, member_id)
        WHERE m.member_id IS NULL AND t.member_id IS NOT NULL
        GROUP BY 1, 2, 3
        """,  # noqa: S608
    ),
    Check(
        "members_have_rows",
        "Each member has a row in each table with one row for every member, such as a balance.",
        _WITHOUT_ROWS,
    ),
    Check(
        "closed_accounts_are_empty",
        "Accounts of merged and erased members are closed and empty; no other account is closed.",
        """
        SELECT m.program_id, m.member_id, m.merged_into, m.erased_at, b.closed, b.active, b.pending, b.held,
               b.debt
        FROM (SELECT * FROM members WHERE merged_into IS NOT NULL OR erased_at IS NOT NULL) m
        FULL JOIN (SELECT * FROM balances WHERE closed) b USING (program_id, member_id)
        WHERE b.closed IS NULL OR m.member_id IS NULL
           OR (b.active, b.pending, b.held, b.debt) <> (0, 0, 0, 0)
        """,
    ),
    Check(
        "numbers_have_ages",
        "Each registered phone number has an age, so no payout goes to one that is too new; former members "
        "have no numbers.",
        """
        SELECT m.program_id, m.member_id, m.closed_at
        FROM members m
        LEFT JOIN payee_numbers n
            ON n.program_id = m.program_id AND n.member_id = m.member_id AND n.phone = m.phone
        WHERE m.phone IS NOT NULL AND n.phone IS NULL
        UNION ALL
        SELECT m.program_id, m.member_id, m.closed_at
        FROM members m JOIN payee_numbers n USING (program_id, member_id)
        WHERE m.closed_at IS NOT NULL
        """,
    ),
    Check(
        "persons_earn_once",
        "Who joins again under the same person reference earns nothing again that pays once in a life.",
        """
        SELECT m.program_id, m.member_id, s.source_key, c.id, c.points
        FROM person_slots s
        JOIN members m ON m.person_hash = s.person_hash AND m.program_id = s.program_id
        LEFT JOIN credits c
            ON c.program_id = m.program_id AND c.member_id = m.member_id AND c.source_key = s.source_key
        WHERE c.points IS DISTINCT FROM 0
        """,
    ),
    Check(
        "adjustments_are_posted",
        "Each adjustment has its entry, and each adjustment entry its adjustment.",
        """
        SELECT coalesce(a.program_id, e.program_id) AS program_id,
               coalesce(a.member_id, e.member_id) AS member_id, a.reference, a.points, a.entry_seq, e.seq,
               e.active_delta
        FROM adjustments a
        FULL JOIN (
            SELECT * FROM entries WHERE kind = 'adjustment' AND reference IS DISTINCT FROM 'erasure'
        ) e ON e.program_id = a.program_id AND e.member_id = a.member_id AND e.seq = a.entry_seq
        WHERE a.points IS DISTINCT FROM e.active_delta
        """,
    ),
)
