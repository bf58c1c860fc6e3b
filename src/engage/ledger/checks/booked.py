"""Credits with their lots, and the entries that name them, for several checks."""

from engage.audit import Rows
from engage.domain.keys import MERGE

# Of the credit that went on as this one in another account, whose lot began with a transfer from there.
_BEFORE = f"""CASE WHEN c.transferred IS NOT NULL THEN (
    SELECT {{}} FROM balances own
    JOIN balances former
        ON former.program_id = own.program_id
       AND former.member_id = substr(c.transferred, {len(MERGE) + 1})
    JOIN stored_credits o ON o.account = former.account AND o.id = c.id
    WHERE own.account = c.account
) END"""  # noqa: S608  # Constants, here and below.

# The entry that a credit's lot began with names the credit, and is of any kind but these two.
_BEGINS = "kind NOT IN ('expiration', 'clawback')"

_MOVES = """
SELECT account, credit_id, sum(active_delta) AS active, sum(held_delta) AS held,
       (array_agg(expires_at ORDER BY entry_seq DESC) FILTER (WHERE expires_at IS NOT NULL))[1] AS grace_until
FROM lot_moves JOIN balances USING (program_id, member_id) GROUP BY 1, 2
"""

# A row where entries name a credit that does not exist has no `id`. `moved` is the sum of all movements of
# the lot, `ended` what its expirations took, `grace_until` the newest end that a reinstatement gave it.
_CREDITS = f"""
SELECT coalesce(c.account, e.account) AS account, c.id, coalesce(c.id, e.credit_id) AS credit_id,
       c.unit IS NOT NULL AS is_status, c.state, c.points, coalesce(c.taken_back, 0) AS taken_back, c.due_at,
       c.active_at, c.accepted_at, c.expires_at, coalesce(e.begins, 0) AS begins, e.begun_points, e.begun_seq,
       e.begun_at, e.transferred, coalesce(e.clawbacks, 0) AS clawbacks,
       coalesce(e.clawed_back, 0) AS clawed_back, coalesce(e.ended, 0) AS ended, e.first_corrected,
       e.last_corrected, e.corrections, c.remaining, coalesce(c.expired, 0) AS expired, c.lot_seq,
       coalesce(c.lot_points, c.points) AS lot_points, coalesce(c.lot_ends_at, c.expires_at) AS lot_ends_at,
       coalesce(e.moved, 0) + coalesce(m.active, 0) AS moved, coalesce(m.held, 0) AS held, m.grace_until
FROM stored_credits c
FULL JOIN (
    SELECT account, credit_id,
           count(*) FILTER (WHERE {_BEGINS}) AS begins,
           -sum(house_delta) FILTER (WHERE {_BEGINS}) AS begun_points,
           min(seq) FILTER (WHERE {_BEGINS}) AS begun_seq,
           min(at) FILTER (WHERE {_BEGINS}) AS begun_at,
           min(reference) FILTER (WHERE kind = 'transfer') AS transferred,
           count(*) FILTER (WHERE kind = 'clawback') AS clawbacks,
           sum(house_delta) FILTER (WHERE kind = 'clawback') AS clawed_back,
           min(corrects) FILTER (WHERE kind = 'clawback') AS first_corrected,
           max(corrects) FILTER (WHERE kind = 'clawback') AS last_corrected,
           count(corrects) FILTER (WHERE kind = 'clawback') AS corrections,
           sum(house_delta) FILTER (WHERE kind = 'expiration') AS ended,
           sum(active_delta) FILTER (WHERE kind <> 'clawback') AS moved
    FROM entries WHERE credit_id IS NOT NULL GROUP BY 1, 2
) e ON e.account = c.account AND e.credit_id = c.id
LEFT JOIN ({_MOVES}) m ON m.account = c.account AND m.credit_id = c.id
"""  # noqa: S608

BOOKED = Rows(f"""
SELECT c.*, {_BEFORE.format("max(o.taken_back)")} AS taken_back_before,
       {_BEFORE.format("max(o.expired)")} AS expired_before,
       {_BEFORE.format("max(coalesce(o.lot_ends_at, o.expires_at)) FILTER (WHERE o.remaining IS NOT NULL)")}
           AS ended_before
FROM ({_CREDITS}) c
""")  # noqa: S608
