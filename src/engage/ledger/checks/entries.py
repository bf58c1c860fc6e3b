"""Entries: each balances, and they sum to the balances."""

from engage.audit import Check, Rows

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

_LEGS = "active_delta + coalesce(held_delta, 0) - coalesce(debt_delta, 0) + house_delta"

_ENTRIES = Rows("""
SELECT account, seq, kind, active_delta, held_delta, debt_delta, house_account, house_delta, credit_id,
       hold_id
FROM entries
""")

# Entries with those before them.
_STATEMENTS = Rows("""
SELECT account, seq, active_delta, balance_after, lag(seq) OVER statement AS seq_before,
       lag(balance_after, 1, CAST(0 AS bigint)) OVER statement AS balance_before
FROM stored_entries WINDOW statement AS (PARTITION BY account ORDER BY seq)
""")

ENTRY_CHECKS = (
    Check(
        "entries_balance",
        "The legs of each entry sum to zero.",
        rows=_ENTRIES,
        broken=f"{_LEGS} <> 0",
        shown="seq, active_delta, held_delta, debt_delta, house_account, house_delta",
    ),
    Check(
        "entries_are_of_their_kind",
        "Each entry moves only the accounts of its kind.",
        rows=_ENTRIES,
        broken=f"({_KINDS}) IS NOT TRUE",
        shown="seq, kind, active_delta, held_delta, debt_delta, house_account, credit_id, hold_id",
    ),
    Check(
        "programs_balance",
        "All legs of a program sum to zero.",
        # An entry whose legs sum to zero adds nothing.
        f"""
        SELECT b.program_id, sum(e.points) AS sum
        FROM (SELECT account, {_LEGS} AS points FROM stored_entries WHERE {_LEGS} <> 0) e
        LEFT JOIN balances b USING (account)
        GROUP BY 1 HAVING sum(e.points) <> 0
        """,  # noqa: S608  # Made of constants of this module.
    ),
    Check(
        "statement_adds_up",
        "The balance after each entry is the balance before it plus its points.",
        rows=_STATEMENTS,
        broken="balance_after <> balance_before + active_delta",
        shown="seq, active_delta, balance_after, balance_before",
    ),
    Check(
        "seqs_are_unique",
        "No two entries of a member have the same seq.",
        rows=_STATEMENTS,
        broken="seq = seq_before",
        shown="seq",
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
