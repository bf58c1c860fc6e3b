"""Entries: each balances, and they sum to the balances."""

from engage.audit import Check

# Which account of the house an entry of each kind moves, and how it moves the member's.
_KINDS = """CASE kind
    WHEN 'earning' THEN house_account = 'issued' AND active_delta > 0 AND credit_id IS NOT NULL
    WHEN 'opening' THEN house_account = 'opening' AND active_delta > 0 AND credit_id IS NOT NULL
    WHEN 'recovery' THEN house_account IS NULL AND active_delta < 0 AND debt_delta = active_delta
    WHEN 'expiration' THEN house_account = 'expired' AND active_delta < 0 AND credit_id IS NOT NULL
    WHEN 'clawback' THEN house_account = 'issued' AND active_delta <= 0 AND debt_delta >= 0
        AND credit_id IS NOT NULL
    WHEN 'hold' THEN house_account IS NULL AND active_delta < 0 AND hold_id IS NOT NULL
    WHEN 'release' THEN house_account IS NULL AND active_delta > 0 AND hold_id IS NOT NULL
    WHEN 'capture' THEN house_account IN ('redeemed', 'withdrawn') AND held_delta < 0 AND hold_id IS NOT NULL
    WHEN 'redemption' THEN house_account = 'redeemed' AND active_delta < 0 AND hold_id IS NOT NULL
    WHEN 'reinstatement' THEN house_account IN ('redeemed', 'withdrawn') AND active_delta > 0
        AND hold_id IS NOT NULL
    WHEN 'adjustment' THEN house_account IN ('adjusted', 'expired')
    WHEN 'transfer' THEN house_account = 'transferred'
END AND (held_delta = 0 OR kind IN ('hold', 'release', 'capture'))
    AND (debt_delta = 0 OR kind IN ('recovery', 'clawback', 'adjustment', 'transfer'))"""

ENTRY_CHECKS = (
    Check(
        "entries_balance",
        "The legs of each entry sum to zero.",
        """
        SELECT program_id, member_id, seq, active_delta, held_delta, debt_delta, house_account, house_delta
        FROM entries WHERE active_delta + held_delta - debt_delta + house_delta <> 0
        """,
    ),
    Check(
        "programs_balance",
        "All legs of a program sum to zero.",
        "SELECT program_id, sum(points) AS sum FROM legs GROUP BY 1 HAVING sum(points) <> 0",
    ),
    Check(
        "entries_are_of_their_kind",
        "Each entry moves only the accounts of its kind.",
        f"""
        SELECT program_id, member_id, seq, kind, active_delta, held_delta, debt_delta, house_account,
               credit_id, hold_id
        FROM entries WHERE ({_KINDS}) IS NOT TRUE
        """,  # noqa: S608  # Made of constants of this module.
    ),
    Check(
        "balances_are_sums",
        "The active, held and debt balances of a member are the sums of their entries.",
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
        "debts_are_paid_first",
        "No member has both active points and a debt.",
        "SELECT program_id, member_id, active, debt FROM balances WHERE active > 0 AND debt > 0",
    ),
    Check(
        "statement_adds_up",
        "The balance after each entry is the balance before it plus its points.",
        """
        SELECT * FROM (
            SELECT program_id, member_id, seq, active_delta, balance_after,
                   coalesce(lag(balance_after) OVER statement, 0) AS balance_before
            FROM entries WINDOW statement AS (PARTITION BY program_id, member_id ORDER BY seq)
        ) e WHERE balance_after <> balance_before + active_delta
        """,
    ),
    Check(
        "seqs_are_unique",
        "No two entries of a member have the same seq.",
        """
        SELECT program_id, member_id, seq, count(*) AS entries
        FROM entries GROUP BY 1, 2, 3 HAVING count(*) > 1
        """,
    ),
    Check(
        "versions_lead",
        "A balance's version is not below the seq of its last entry.",
        """
        SELECT b.program_id, b.member_id, b.version, e.seq
        FROM balances b
        JOIN (SELECT program_id, member_id, max(seq) AS seq FROM entries GROUP BY 1, 2) e
            USING (program_id, member_id)
        WHERE b.version < e.seq
        """,
    ),
    Check(
        "transfers_arrive",
        "Points that left merged accounts arrived in others.",
        """
        SELECT program_id, sum(house_delta) AS on_the_way FROM entries
        WHERE house_account = 'transferred' GROUP BY 1 HAVING sum(house_delta) <> 0
        """,
    ),
)
