"""Checks of referrals, for the audit."""

from engage.audit import Check

# An erased member has nothing left of a referral: the account was closed with all that was in it.
_SIDES = """(
            SELECT r.id, r.program_id, r.state, r.advocate_id AS member_id, 'referral:advocate' AS rule_id,
                   r.advocate_paid_at AS paid_at, r.advocate_lost_at AS lost_at FROM referrals r
            UNION ALL
            SELECT r.id, r.program_id, r.state, r.member_id, 'referral:friend', r.friend_paid_at,
                   r.friend_lost_at FROM referrals r
        ) s JOIN members m ON m.program_id = s.program_id AND m.member_id = s.member_id
            AND m.erased_at IS NULL"""

REFERRAL_CHECKS = (
    Check(
        "referrals_pay_once",
        "Each side of an approved referral was granted its points once, and nobody else was.",
        f"""
        SELECT s.program_id, s.member_id, s.id, s.state, s.rule_id, s.paid_at, count(c.id) AS credits
        FROM {_SIDES}
        LEFT JOIN credits c ON c.program_id = s.program_id AND c.member_id = s.member_id
            AND c.source_key = s.rule_id || ':' || CAST(s.id AS text)
        GROUP BY 1, 2, 3, 4, 5, 6, s.lost_at
        HAVING count(c.id) > CASE WHEN s.paid_at IS NULL THEN 0 ELSE 1 END
            OR (s.paid_at IS NOT NULL AND s.lost_at IS NULL AND count(c.id) = 0)
        UNION ALL
        SELECT c.program_id, c.member_id, c.id, c.state, c.rule_id, c.accepted_at, 1
        FROM credits c
        WHERE c.rule_id IN ('referral:advocate', 'referral:friend') AND c.beside IS NULL
          AND c.why -> 'activity' ->> 'referral_id' IS NOT NULL
          AND NOT EXISTS (
              SELECT FROM referrals r WHERE r.id = CAST(c.why -> 'activity' ->> 'referral_id' AS uuid))
        """,  # noqa: S608  # Made of constants, as all queries here.
    ),
    Check(
        "lost_referrals_keep_nothing",
        "Points of a referral whose friend or order is gone were taken back.",
        f"""
        SELECT s.program_id, s.member_id, s.id, s.lost_at, c.id AS credit, c.state, c.points, c.taken_back
        FROM {_SIDES}
        JOIN credits c ON c.program_id = s.program_id AND c.member_id = s.member_id
            AND c.source_key = s.rule_id || ':' || CAST(s.id AS text)
        WHERE s.lost_at IS NOT NULL AND c.state <> 'reversed'
        """,  # noqa: S608
    ),
    Check(
        "codes_belong_to_members",
        "A code of an invitation is that of a member.",
        """
        SELECT c.program_id, c.member_id, c.code
        FROM referral_codes c LEFT JOIN members m USING (program_id, member_id)
        WHERE m.member_id IS NULL OR m.closed_at IS NOT NULL
        """,
    ),
    Check(
        "referrals_are_paid_in_time",
        "No referral is due for more than a minute.",
        """
        SELECT program_id, member_id, id, state, due_at FROM referrals
        WHERE due_at < CAST(:now AS timestamptz) - interval '1 minute'
        """,
        warning=True,
    ),
)
