"""The promises of the ledger that SQL can see, each with a query for the rows that break it."""

import msgspec


class Check(msgspec.Struct, frozen=True):
    """A promise, and the query for the rows that break it. A broken `warning` is late, not wrong."""

    name: str
    promise: str
    query: str
    warning: bool = False


# What the rules of all versions say of their credits: a row a rule, from `rules_as_rows`.
_RULES = """
SELECT * FROM unnest(
    CAST(:rule_programs AS text[]), CAST(:rule_versions AS text[]), CAST(:rule_ids AS text[]),
    CAST(:rule_limits AS text[]), CAST(:rule_patterns AS text[]), CAST(:rule_counts AS int[]),
    CAST(:rule_sources AS text[])
) AS r (program_id, program_version, rule_id, limit_type, pattern, places, source_rule_id)
"""

# Of each credit, what the ledger holds for it.
_BOOKED = """
SELECT c.program_id, c.member_id, c.id, c.state, c.points, c.due_at, c.active_at, c.accepted_at, c.expires_at,
       coalesce(e.earnings, 0) AS earnings, e.earned, e.earning_seq, e.earned_at,
       coalesce(e.clawbacks, 0) AS clawbacks, e.taken_back, e.corrects,
       coalesce(l.lots, 0) AS lots, l.lot_points, l.remaining, l.entry_seq, l.lot_active_at, l.lot_expires_at
FROM credits c
LEFT JOIN (
    SELECT program_id, member_id, credit_id,
           count(*) FILTER (WHERE kind = 'earning') AS earnings,
           -sum(house_delta) FILTER (WHERE kind = 'earning') AS earned,
           min(seq) FILTER (WHERE kind = 'earning') AS earning_seq,
           min(at) FILTER (WHERE kind = 'earning') AS earned_at,
           count(*) FILTER (WHERE kind = 'clawback') AS clawbacks,
           sum(house_delta) FILTER (WHERE kind = 'clawback') AS taken_back,
           min(corrects) FILTER (WHERE kind = 'clawback') AS corrects
    FROM entries WHERE credit_id IS NOT NULL GROUP BY 1, 2, 3
) e ON e.program_id = c.program_id AND e.member_id = c.member_id AND e.credit_id = c.id
LEFT JOIN (
    SELECT program_id, member_id, credit_id, count(*) AS lots, sum(points) AS lot_points,
           sum(remaining) AS remaining, min(entry_seq) AS entry_seq, min(active_at) AS lot_active_at,
           min(expires_at) AS lot_expires_at
    FROM lots GROUP BY 1, 2, 3
) l ON l.program_id = c.program_id AND l.member_id = c.member_id AND l.credit_id = c.id
"""

_STREAK_DAYS = f"""
SELECT program_id, member_id, rule_id, source_key, day, days, zone,
       lag(day) OVER days_of AS day_before, lag(days) OVER days_of AS days_before,
       lag(zone) OVER days_of AS zone_before
FROM (
    SELECT c.program_id, c.member_id, c.rule_id, c.source_key,
           CAST(substring(c.source_key FROM '[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}$') AS date) AS day,
           CAST(c.why -> 'inputs' ->> 'streak_days' AS int) AS days, c.why -> 'inputs' ->> 'zone' AS zone
    FROM credits c JOIN ({_RULES}) r USING (program_id, program_version, rule_id)
    WHERE r.limit_type = 'daily_streak' AND c.points > 0
) d
WINDOW days_of AS (PARTITION BY program_id, member_id, rule_id ORDER BY day)
"""  # noqa: S608  # Made of constants of this module, as all queries here.

CHECKS = (
    Check(
        "entries_balance",
        "The legs of each entry add up to zero.",
        """
        SELECT program_id, member_id, seq, active_delta, held_delta, debt_delta, house_account, house_delta
        FROM entries WHERE active_delta + held_delta - debt_delta + house_delta <> 0
        """,
    ),
    Check(
        "programs_balance",
        "All legs of a program add up to zero.",
        "SELECT program_id, sum(points) AS sum FROM legs GROUP BY 1 HAVING sum(points) <> 0",
    ),
    Check(
        "balances_are_sums",
        "What is active, held and owed is the sum of a member's entries.",
        """
        SELECT b.program_id, b.member_id, b.active, b.held, b.debt,
               e.active AS entries_active, e.held AS entries_held, e.debt AS entries_debt
        FROM balances b
        LEFT JOIN (
            SELECT program_id, member_id, sum(active_delta) AS active, sum(held_delta) AS held,
                   sum(debt_delta) AS debt
            FROM entries GROUP BY 1, 2
        ) e USING (program_id, member_id)
        WHERE (b.active, b.held, b.debt)
            <> (coalesce(e.active, 0), coalesce(e.held, 0), coalesce(e.debt, 0))
        """,
    ),
    Check(
        "pending_is_sum",
        "What is pending is the sum of a member's pending credits.",
        """
        SELECT b.program_id, b.member_id, b.pending, coalesce(c.pending, 0) AS credits_pending
        FROM balances b
        LEFT JOIN (
            SELECT program_id, member_id, sum(points) AS pending
            FROM credits WHERE state = 'pending' GROUP BY 1, 2
        ) c USING (program_id, member_id)
        WHERE b.pending <> coalesce(c.pending, 0)
        """,
    ),
    Check(
        "statement_adds_up",
        "Each entry leaves the balance that the one before left, moved by its own points.",
        """
        SELECT * FROM (
            SELECT program_id, member_id, seq, active_delta, balance_after,
                   coalesce(lag(balance_after) OVER statement, 0) AS balance_before
            FROM entries WINDOW statement AS (PARTITION BY program_id, member_id ORDER BY seq)
        ) e WHERE balance_after <> balance_before + active_delta
        """,
    ),
    Check(
        "seq_is_its_own",
        "No two entries of a member have the same seq.",
        """
        SELECT program_id, member_id, seq, count(*) AS entries
        FROM entries GROUP BY 1, 2, 3 HAVING count(*) > 1
        """,
    ),
    Check(
        "versions_lead",
        "A balance's version is not behind its last entry.",
        """
        SELECT b.program_id, b.member_id, b.version, e.seq
        FROM balances b
        JOIN (SELECT program_id, member_id, max(seq) AS seq FROM entries GROUP BY 1, 2) e
            USING (program_id, member_id)
        WHERE b.version < e.seq
        """,
    ),
    Check(
        "earned_once",
        "A credit that is or was active has one earning entry and one lot of its points; any other has none.",
        f"""
        SELECT program_id, member_id, id, state, points, active_at, earnings, earned, lots, lot_points
        FROM ({_BOOKED}) c
        WHERE CASE WHEN active_at IS NULL THEN earnings + lots > 0 OR state IN ('active', 'expired')
              ELSE state = 'pending' OR earnings <> 1 OR lots <> 1 OR earned <> points OR lot_points <> points
              END
        """,  # noqa: S608
    ),
    Check(
        "taken_back_once",
        "A credit reversed after it was active has one clawback that corrects its earning, and an empty lot.",
        f"""
        SELECT program_id, member_id, id, state, points, earning_seq, clawbacks, taken_back, corrects,
               remaining
        FROM ({_BOOKED}) c
        WHERE CASE WHEN state = 'reversed' AND active_at IS NOT NULL
              THEN clawbacks <> 1 OR taken_back <> points OR corrects IS DISTINCT FROM earning_seq
                   OR remaining <> 0
              ELSE clawbacks > 0 END
        """,  # noqa: S608
    ),
    Check(
        "never_early",
        "Points are not active before they are due, nor before they were accepted.",
        f"""
        SELECT program_id, member_id, id, due_at, accepted_at, active_at, earned_at
        FROM ({_BOOKED}) c
        WHERE active_at < due_at OR active_at < accepted_at OR earned_at < due_at OR earned_at < accepted_at
        """,  # noqa: S608
    ),
    Check(
        "lots_cover_balances",
        "What remains in a member's lots is what is active; what is held is out of them.",
        """
        SELECT b.program_id, b.member_id, b.active, b.held, coalesce(l.remaining, 0) AS remaining
        FROM balances b
        LEFT JOIN (SELECT program_id, member_id, sum(remaining) AS remaining FROM lots GROUP BY 1, 2) l
            USING (program_id, member_id)
        WHERE b.active <> coalesce(l.remaining, 0)
        """,
    ),
    Check(
        "withdrawals_have_holds",
        "A withdrawal's points are held while it is open, captured once it is settled, released if it failed.",
        """
        SELECT w.program_id, w.member_id, w.id, w.state, w.points, h.state AS hold, h.points AS hold_points,
               e.withdrawn
        FROM withdrawals w
        LEFT JOIN holds h
            ON h.program_id = w.program_id AND h.member_id = w.member_id AND h.id = w.hold_id
        LEFT JOIN (
            SELECT program_id, member_id, hold_id, sum(house_delta) AS withdrawn
            FROM entries WHERE house_account = 'withdrawn' GROUP BY 1, 2, 3
        ) e ON e.program_id = w.program_id AND e.member_id = w.member_id AND e.hold_id = w.hold_id
        WHERE (h.purpose, h.points) IS DISTINCT FROM ('withdrawal', w.points)
           OR h.state IS DISTINCT FROM CASE w.state WHEN 'settled' THEN 'captured'
                                       WHEN 'failed' THEN 'released' ELSE 'open' END
           OR coalesce(e.withdrawn, 0) <> CASE w.state WHEN 'settled' THEN w.points ELSE 0 END
        """,
    ),
    Check(
        "lots_match_credits",
        "A lot begins and ends with its credit, and names the entry that earned it.",
        f"""
        SELECT program_id, member_id, id, active_at, lot_active_at, expires_at, lot_expires_at,
               earning_seq, entry_seq
        FROM ({_BOOKED}) c
        WHERE lots > 0 AND (lot_active_at IS DISTINCT FROM active_at
            OR lot_expires_at IS DISTINCT FROM expires_at OR entry_seq IS DISTINCT FROM earning_seq)
        UNION ALL
        SELECT l.program_id, l.member_id, l.credit_id, NULL, l.active_at, NULL, l.expires_at, NULL,
               l.entry_seq
        FROM lots l
        WHERE NOT EXISTS (
            SELECT FROM credits c
            WHERE (c.program_id, c.member_id, c.id) = (l.program_id, l.member_id, l.credit_id)
        )
        """,  # noqa: S608
    ),
    Check(
        "entries_have_credits",
        "An entry that names a credit names one of its member's.",
        """
        SELECT e.program_id, e.member_id, e.seq, e.kind, e.credit_id
        FROM entries e
        WHERE e.credit_id IS NOT NULL AND NOT EXISTS (
            SELECT FROM credits c
            WHERE (c.program_id, c.member_id, c.id) = (e.program_id, e.member_id, e.credit_id)
        )
        """,
    ),
    Check(
        "rows_have_members",
        "No credit, entry, lot, balance, card or event is without its member.",
        """
        SELECT t.of, t.program_id, t.member_id, count(*) AS rows
        FROM (
            SELECT 'credits' AS of, program_id, member_id FROM credits
            UNION ALL SELECT 'entries', program_id, member_id FROM entries
            UNION ALL SELECT 'lots', program_id, member_id FROM lots
            UNION ALL SELECT 'balances', program_id, member_id FROM balances
            UNION ALL SELECT 'card_numbers', program_id, member_id FROM card_numbers
            UNION ALL SELECT 'shop_events', program_id, member_id FROM shop_events
        ) t
        LEFT JOIN members m USING (program_id, member_id)
        WHERE m.member_id IS NULL
        GROUP BY 1, 2, 3
        """,
    ),
    Check(
        "members_have_balances",
        "Each member has a balance.",
        """
        SELECT m.program_id, m.member_id FROM members m
        LEFT JOIN balances b USING (program_id, member_id) WHERE b.member_id IS NULL
        """,
    ),
    Check(
        "keys_are_used_once",
        "No source key has two credits of a member, and no rule pays twice for one reference.",
        """
        SELECT program_id, member_id, source_key AS key, NULL AS rule_id, count(*) AS credits
        FROM credits GROUP BY 1, 2, 3 HAVING count(*) > 1
        UNION ALL
        SELECT program_id, member_id, reference, rule_id, count(*)
        FROM credits WHERE reference IS NOT NULL GROUP BY 1, 2, 3, 4 HAVING count(*) > 1
        """,
    ),
    Check(
        "credits_have_rules",
        "Each credit comes of a rule of a published version, and takes a place that this rule has.",
        f"""
        SELECT c.program_id, c.member_id, c.id, c.program_version, c.rule_id, c.source_key
        FROM credits c
        LEFT JOIN ({_RULES}) r USING (program_id, program_version, rule_id)
        WHERE c.points > 0 AND (
            r.rule_id IS NULL OR c.source_key !~ r.pattern
            OR CAST(substring(c.source_key FROM ':([0-9]{{1,9}})$') AS int) NOT BETWEEN 1 AND r.places
        )
        """,  # noqa: S608
    ),
    Check(
        "limits_hold",
        "A rule has no more credits in a window than it has places there.",
        f"""
        SELECT c.program_id, c.member_id, substring(c.source_key FROM '^(.*):') AS window_of_rule,
               count(*) AS credits, max(r.places) AS places
        FROM credits c JOIN ({_RULES}) r USING (program_id, program_version, rule_id)
        WHERE r.places IS NOT NULL AND c.points > 0
        GROUP BY 1, 2, 3 HAVING count(*) > max(r.places)
        """,  # noqa: S608
    ),
    Check(
        "streaks_are_consecutive",
        "A day of a streak is its first, or one more than the day before.",
        f"""
        SELECT program_id, member_id, source_key, days, day_before, days_before
        FROM ({_STREAK_DAYS}) s
        WHERE days IS DISTINCT FROM 1
          AND NOT coalesce(day = day_before + 1 AND days = days_before + 1, false)
        """,  # noqa: S608
    ),
    Check(
        "shared_slots",
        "A credit that shares another rule's slot has that rule's credit beside it.",
        f"""
        SELECT c.program_id, c.member_id, c.id, c.rule_id, c.source_key, r.source_rule_id
        FROM credits c JOIN ({_RULES}) r USING (program_id, program_version, rule_id)
        WHERE r.source_rule_id IS NOT NULL AND c.points > 0 AND NOT EXISTS (
            SELECT FROM credits s
            WHERE s.program_id = c.program_id AND s.member_id = c.member_id
              AND s.source_key = r.source_rule_id || substr(c.source_key, length(c.rule_id) + 1)
        )
        """,  # noqa: S608
    ),
    Check(
        "streaks_go_on",
        "A streak does not begin again the day after one of its days.",
        f"""
        SELECT program_id, member_id, source_key, days, day_before, days_before
        FROM ({_STREAK_DAYS}) s
        WHERE days = 1 AND day = day_before + 1 AND zone = zone_before
        """,  # noqa: S608
        warning=True,
    ),
    Check(
        "settled_in_time",
        "No credit is pending for more than a minute after it fell due.",
        """
        SELECT program_id, member_id, id, points, due_at FROM credits
        WHERE state = 'pending' AND due_at < CAST(:now AS timestamptz) - interval '1 minute'
        """,
        warning=True,
    ),
    Check(
        "told_in_time",
        "No change of a balance is untold for more than a minute.",
        """
        SELECT id, created_at, cause, cardinality(member_ids) AS members FROM outbox
        WHERE created_at < CAST(:wall AS timestamptz) - interval '1 minute'
        """,
        warning=True,
    ),
)
