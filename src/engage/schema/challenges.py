"""The rewards that steps of challenges have given."""

from sqlalchemy import BigInteger, PrimaryKeyConstraint, Table, Text, Uuid

from engage.schema.columns import IDENTIFIER, INSTANT, member_key, metadata, required
from engage.schema.member_rows import Delete, Statement, member_rows

# Of a step that both have reached the survivor's row stays. The coupons of both are the survivor's.
_MERGE = """
WITH moved AS (
    DELETE FROM challenge_gifts WHERE program_id = :program_id AND member_id = :member_id
    RETURNING program_id, challenge_id, period, step, coupon_id, reached_at, zone
)
INSERT INTO challenge_gifts (program_id, member_id, challenge_id, period, step, coupon_id, reached_at, zone)
SELECT program_id, :into, challenge_id, period, step, coupon_id, reached_at, zone FROM moved
ON CONFLICT DO NOTHING
"""

# A row for each step that has given a reward: once in a period. It goes with the cause of the gift, unless
# the coupon was used. What steps pay in points is in the credits.
challenge_gifts = Table(
    "challenge_gifts",
    metadata,
    *member_key(),
    required("challenge_id", IDENTIFIER),
    required("period", IDENTIFIER),
    required("step", BigInteger),
    required("coupon_id", Uuid),
    required("reached_at", INSTANT),
    required("zone", Text),
    PrimaryKeyConstraint("program_id", "member_id", "challenge_id", "period", "step"),
    info=member_rows(merge=Statement(_MERGE), erase=Delete()),
)
