"""Credits with the entries and lots that belong to them, for several checks."""

# The entry that a credit's lot began with names the credit, and is of any kind but these two. After a merger
# the lot goes on in another account, where it began with a transfer: from the one that its reference names.
BOOKED = """
SELECT c.program_id, c.member_id, c.id, c.rule_id, c.unit, c.state,
       c.points, c.taken_back, c.due_at, c.active_at,
       c.accepted_at, c.expires_at, coalesce(e.begins, 0) AS begins, e.begun_points, e.begun_seq, e.begun_at,
       e.transferred, coalesce(e.clawbacks, 0) AS clawbacks, coalesce(e.clawed_back, 0) AS clawed_back,
       coalesce(e.ended, 0) AS ended, e.first_corrected, e.last_corrected, e.corrections,
       coalesce(l.lots, 0) AS lots, l.lot_points, l.remaining, l.expired, l.entry_seq, l.lot_active_at,
       l.lot_expires_at
FROM credits c
LEFT JOIN (
    SELECT program_id, member_id, credit_id,
           count(*) FILTER (WHERE kind NOT IN ('expiration', 'clawback')) AS begins,
           -sum(house_delta) FILTER (WHERE kind NOT IN ('expiration', 'clawback')) AS begun_points,
           min(seq) FILTER (WHERE kind NOT IN ('expiration', 'clawback')) AS begun_seq,
           min(at) FILTER (WHERE kind NOT IN ('expiration', 'clawback')) AS begun_at,
           min(reference) FILTER (WHERE kind = 'transfer') AS transferred,
           count(*) FILTER (WHERE kind = 'clawback') AS clawbacks,
           sum(house_delta) FILTER (WHERE kind = 'clawback') AS clawed_back,
           min(corrects) FILTER (WHERE kind = 'clawback') AS first_corrected,
           max(corrects) FILTER (WHERE kind = 'clawback') AS last_corrected,
           count(corrects) FILTER (WHERE kind = 'clawback') AS corrections,
           sum(house_delta) FILTER (WHERE kind = 'expiration') AS ended
    FROM entries WHERE credit_id IS NOT NULL GROUP BY 1, 2, 3
) e ON e.program_id = c.program_id AND e.member_id = c.member_id AND e.credit_id = c.id
LEFT JOIN (
    SELECT program_id, member_id, credit_id, count(*) AS lots, sum(points) AS lot_points,
           sum(remaining) AS remaining, sum(expired) AS expired, min(entry_seq) AS entry_seq,
           min(active_at) AS lot_active_at, min(expires_at) AS lot_expires_at
    FROM lots GROUP BY 1, 2, 3
) l ON l.program_id = c.program_id AND l.member_id = c.member_id AND l.credit_id = c.id
"""
