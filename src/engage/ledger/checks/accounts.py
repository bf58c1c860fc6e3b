"""Accounts: balances are the sums of entries, credits, lots and holds."""

from engage.audit import Check, Rows

# Balances with the sums of what belongs to them; `balanced` is null where rows name an account without one.
ACCOUNTS = Rows("""
SELECT account, b.account AS balanced, b.active, b.pending, b.held, b.debt, b.version,
       coalesce(e.active, 0) AS entries_active, coalesce(e.held, 0) AS entries_held,
       coalesce(e.debt, 0) AS entries_debt, e.seq,
       coalesce(c.pending, 0) AS credits_pending, coalesce(c.remaining, 0) AS remaining,
       coalesce(m.held, 0) AS moved_to_holds, coalesce(h.points, 0) AS in_open_holds
FROM balances b
FULL JOIN (
    SELECT account, sum(active_delta) AS active, sum(held_delta) AS held, sum(debt_delta) AS debt,
           max(seq) AS seq
    FROM stored_entries GROUP BY 1
) e USING (account)
FULL JOIN (
    SELECT account, sum(points) FILTER (WHERE state = 'pending' AND unit IS NULL) AS pending,
           sum(remaining) AS remaining
    FROM stored_credits GROUP BY 1
) c USING (account)
LEFT JOIN (
    SELECT account, sum(m.held_delta) AS held
    FROM lot_moves m JOIN balances USING (program_id, member_id) GROUP BY 1
) m USING (account)
LEFT JOIN (
    SELECT account, sum(points) AS points
    FROM holds JOIN balances USING (program_id, member_id) WHERE state = 'open' GROUP BY 1
) h USING (account)
""")

ACCOUNT_CHECKS = (
    Check(
        "rows_have_accounts",
        "Every credit and every entry belongs to the account of a member.",
        rows=ACCOUNTS,
        broken="balanced IS NULL",
        shown="account, seq, credits_pending, remaining",
    ),
    Check(
        "balances_are_sums",
        "The active, held and debt balances of a member are the sums of their entries.",
        rows=ACCOUNTS,
        broken="(active, held, debt) <> (entries_active, entries_held, entries_debt)",
        shown="active, held, debt, entries_active, entries_held, entries_debt",
    ),
    Check(
        "pending_is_sum",
        "The pending balance is the sum of a member's pending credits.",
        rows=ACCOUNTS,
        broken="pending <> credits_pending",
        shown="pending, credits_pending",
    ),
    Check(
        "lots_cover_balances",
        "A member's lots sum to the active balance, and the moves of lots into holds to the held balance.",
        rows=ACCOUNTS,
        broken="active <> remaining OR held <> moved_to_holds",
        shown="active, remaining, held, moved_to_holds",
    ),
    Check(
        "held_is_sum",
        "The held balance is the sum of a member's open holds.",
        rows=ACCOUNTS,
        broken="held <> in_open_holds",
        shown="held, in_open_holds",
    ),
    Check(
        "versions_lead",
        "A balance's version is not below the seq of its last entry.",
        rows=ACCOUNTS,
        broken="version < seq",
        shown="version, seq",
    ),
    Check(
        "debts_are_paid_first",
        "No member has both active points and a debt.",
        rows=ACCOUNTS,
        broken="active > 0 AND debt > 0",
        shown="active, debt",
    ),
)
