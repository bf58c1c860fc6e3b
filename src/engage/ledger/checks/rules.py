"""Rules: each credit has a rule, and no rule pays more often than its limit allows."""

from engage.audit import Check
from engage.ledger.checks.decided import RULED
from engage.ledger.checks.published_rules import RULES, rules_as_rows

_BASE_KEY = "left(c.source_key, length(c.source_key) - length(c.beside) - 1)"
_BASES = f"""stored_credits c
        LEFT JOIN stored_credits b ON b.account = c.account AND b.source_key = {_BASE_KEY}
        LEFT JOIN balances m ON m.account = c.account"""

# A credit that another account brought: there is one of its id in an account that was merged into the same.
_BROUGHT = """EXISTS (
    SELECT FROM balances own
    JOIN members m ON m.program_id = own.program_id AND m.member_id = own.member_id
    JOIN members f ON f.program_id = m.program_id AND f.merged_into = coalesce(m.merged_into, m.member_id)
    JOIN balances former ON former.program_id = f.program_id AND former.member_id = f.member_id
    JOIN stored_credits o ON o.account = former.account AND o.id = r.id
    WHERE own.account = r.account AND former.account <> own.account
)"""

RULE_CHECKS = (
    Check(
        "credits_have_rules",
        "Each credit has a rule of a published version, whose slot its source key names, or a definition.",
        rows=RULED,
        broken="""points > 0 AND CASE WHEN position(':' IN rule_id) > 0
            THEN NOT defined OR NOT starts_with(source_key, split_part(rule_id, ':', 1) || ':')
            ELSE beside IS NULL AND (
                NOT has_rule OR source_key <> built_key OR (built_key IS NULL AND NOT erased)
            ) END""",
        shown="id, program_version, rule_id, source_key",
    ),
    Check(
        "boosts_have_bases",
        "A credit that a boost added is of the rule and activity of another one, whose key begins its own.",
        f"""
        SELECT m.program_id, m.member_id, c.id, c.rule_id, c.source_key, c.boost, b.rule_id AS base_rule_id
        FROM {_BASES}
        WHERE c.beside IS NOT NULL AND c.points > 0
          AND (b.rule_id IS DISTINCT FROM c.rule_id OR b.beside IS NOT NULL
               OR right(c.source_key, length(c.beside) + 1) <> '+' || c.beside)
        """,  # noqa: S608  # Made of constants, as all queries here.
    ),
    Check(
        "boosts_go_with_bases",
        "A credit that a boost added is due and ends with its base, and is gone when the base is.",
        f"""
        SELECT m.program_id, m.member_id, c.id, c.source_key, c.state, b.state AS base_state, c.due_at,
               b.due_at AS base_due_at, c.expires_at, b.expires_at AS base_expires_at
        FROM {_BASES}
        WHERE c.beside IS NOT NULL AND c.state <> 'reversed' AND b.id IS NOT NULL AND (
            b.state = 'reversed' OR (c.due_at, c.expires_at) IS DISTINCT FROM (b.due_at, b.expires_at)
        )
        """,  # noqa: S608
    ),
    Check(
        "limits_hold",
        "A rule has no more credits in a window than its limits allow, each in a place of its own.",
        f"""
        SELECT b.program_id, b.member_id, w.*
        FROM (
            SELECT account, rule_id, first_day, kind, count(*) AS credits, max(slots) AS slots
            FROM (
                SELECT c.account, c.rule_id, 'day' AS kind, c.of_day AS first_day, c.day_slot AS slot,
                       r.day_slots AS slots
                FROM credits c JOIN ({RULES}) r USING (program_id, program_version, rule_id)
                WHERE c.of_day IS NOT NULL AND c.points > 0
                UNION ALL
                SELECT c.account, c.rule_id, 'month', c.of_month, c.month_slot, r.month_slots
                FROM credits c JOIN ({RULES}) r USING (program_id, program_version, rule_id)
                WHERE c.of_month IS NOT NULL AND c.points > 0
            ) s
            GROUP BY 1, 2, 3, 4
            HAVING count(*) > max(slots) OR count(*) > count(DISTINCT slot)
                OR bool_or(slot NOT BETWEEN 1 AND slots)
        ) w
        LEFT JOIN balances b USING (account)
        """,  # noqa: S608
        parameters=rules_as_rows,
    ),
    Check(
        "limits_are_counted",
        "A credit holds a place in each window that its rule limits, unless another account brought it.",
        rows=RULED,
        broken=f"""has_rule AND points > 0 AND source_rule_id IS NULL AND beside IS NULL AND NOT erased
            AND ((day_slots IS NOT NULL AND of_day IS NULL) OR (month_slots IS NOT NULL AND of_month IS NULL))
            AND NOT {_BROUGHT}""",
        shown="id, rule_id, of_day, of_month, day_slots, month_slots",
    ),
    Check(
        "shared_slots",
        "A credit that shares another rule's slot comes with a credit of that rule.",
        rows=RULED,
        broken="""source_rule_id IS NOT NULL AND points > 0 AND beside IS NULL AND NOT EXISTS (
            SELECT FROM stored_credits s
            WHERE s.account = r.account
              AND s.source_key = r.source_rule_id || substr(r.source_key, length(r.rule_id) + 1)
        )""",
        shown="id, rule_id, source_key, source_rule_id",
    ),
    Check(
        "promised_in_time",
        "No credit is pending for longer than the program promises, but for those that are held for review.",
        rows=RULED,
        broken="state = 'pending' AND NOT is_held AND activity_at + promise < CAST(:now AS timestamptz)",
        shown="id, rule_id, points, activity_at, due_at, promise",
        warning=True,
    ),
)
