"""Checks of orders, for the audit."""

from engage.audit import Check

# The credits of an order that decide with it still: of a merged account there is but its history, and what
# goes on as a transfer belongs to no rule any more.
_OF_ORDER = """credits c ON c.program_id = o.program_id AND c.member_id = o.member_id
            AND c.reference = 'order:' || o.order_id AND c.rule_id <> 'transfer' AND c.points > 0"""

ORDER_CHECKS = (
    Check(
        "orders_have_one_owner",
        "A paid order belongs to one member, and no other member has paid it.",
        """
        SELECT coalesce(o.program_id, w.program_id) AS program_id,
               coalesce(o.order_id, w.order_id) AS order_id, o.member_id, w.member_id AS owner, o.paid_at
        FROM (SELECT * FROM orders WHERE paid IS NOT NULL) o
        FULL JOIN order_owners w
            ON w.program_id = o.program_id AND w.order_id = o.order_id AND w.member_id = o.member_id
        WHERE o.member_id IS NULL OR w.member_id IS NULL
        """,
    ),
    Check(
        "returns_count_once",
        "An order has each return once.",
        """
        SELECT o.program_id, o.member_id, o.order_id, r.value ->> 'return_id' AS return_id, count(*) AS times
        FROM orders o CROSS JOIN LATERAL jsonb_array_elements(o.returns) r
        GROUP BY 1, 2, 3, 4 HAVING count(*) > 1
        """,
    ),
    Check(
        "orders_are_paid",
        "Points for an order belong to a paid order.",
        """
        SELECT c.program_id, c.member_id, c.id, c.state, c.points, c.reference
        FROM credits c
        JOIN members m USING (program_id, member_id)
        LEFT JOIN orders o
            ON o.program_id = c.program_id AND o.member_id = coalesce(m.merged_into, c.member_id)
           AND c.reference = 'order:' || o.order_id
        WHERE c.why -> 'activity' ->> 'activity' = 'order' AND c.reference IS NOT NULL AND c.points > 0
          AND o.paid IS NULL
        """,
    ),
    Check(
        "orders_keep_their_version",
        "Points for an order were decided by the program version stored with it, or a campaign that is.",
        f"""
        SELECT o.program_id, o.member_id, o.order_id, o.program_version AS decides, c.id, c.program_version
        FROM orders o JOIN {_OF_ORDER}
        WHERE split_part(c.program_version, '+', 1) IS DISTINCT FROM split_part(o.program_version, '+', 1)
           OR NOT string_to_array(c.program_version, '+') <@ string_to_array(o.program_version, '+')
        """,  # noqa: S608  # Made of constants, as all queries here.
    ),
    Check(
        "returned_orders_earn_nothing",
        "An order that was cancelled or returned as a whole keeps no points.",
        f"""
        SELECT o.program_id, o.member_id, o.order_id, o.cancelled_at, o.returns, c.id, c.state, c.points,
               c.taken_back
        FROM orders o JOIN {_OF_ORDER}
        WHERE c.state <> 'reversed' AND o.paid IS NOT NULL AND (
            o.cancelled_at IS NOT NULL OR jsonb_path_exists(o.returns, '$[*].lines ? (@ == null)')
        )
        """,  # noqa: S608
    ),
    Check(
        "returned_orders_give_back",
        "An order that was cancelled or returned as a whole keeps no points that paid for it, and no hold.",
        """
        SELECT o.program_id, o.member_id, o.order_id, o.cancelled_at, o.returns, h.id, h.state, h.points,
               h.reinstated
        FROM orders o JOIN holds h USING (program_id, member_id, order_id)
        WHERE (h.state = 'open' OR (h.state = 'captured' AND h.reinstated < h.points)) AND (
            o.cancelled_at IS NOT NULL OR jsonb_path_exists(o.returns, '$[*].lines ? (@ == null)')
        )
        """,
    ),
    Check(
        "deliveries_set_due_times",
        "Pending points for a delivered order have a due time.",
        f"""
        SELECT o.program_id, o.member_id, o.order_id, o.delivered_at, c.id, c.points
        FROM orders o JOIN {_OF_ORDER}
        WHERE c.state = 'pending' AND c.due_at IS NULL AND o.paid IS NOT NULL AND o.delivered_at IS NOT NULL
        """,  # noqa: S608
    ),
)
